package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// hostListeners are the listeners that Enter opened on the host and passed
// on, in the order of EnterOptions.Listen.
var hostListeners struct {
	sync.Mutex
	all []net.Listener
}

// adoptListeners turns the inherited descriptors into listeners. Programs
// started from here do not inherit them again.
func adoptListeners() error {
	raw := os.Getenv(envListeners)
	if raw == "" {
		return nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 0 {
		return fmt.Errorf("%s=%q: want a count", envListeners, raw)
	}
	if err := os.Unsetenv(envListeners); err != nil {
		return fmt.Errorf("unset %s: %w", envListeners, err)
	}
	hostListeners.Lock()
	defer hostListeners.Unlock()
	for fd := firstListenerFD; fd < firstListenerFD+n; fd++ {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "host listener")
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("adopt host listener %d: %w", fd-firstListenerFD, err)
		}
		hostListeners.all = append(hostListeners.all, l)
	}
	return nil
}

// HostListener returns the i-th listener of EnterOptions.Listen. It accepts
// connections from the host although this program runs inside.
func HostListener(i int) (net.Listener, error) {
	hostListeners.Lock()
	defer hostListeners.Unlock()
	if i < 0 || i >= len(hostListeners.all) {
		return nil, fmt.Errorf("no host listener %d: Enter was given %d", i, len(hostListeners.all))
	}
	return hostListeners.all[i], nil
}

// HostAddr returns the host address ("127.0.0.1:41234") of the i-th listener,
// or "" when there is none.
func HostAddr(i int) string {
	l, err := HostListener(i)
	if err != nil {
		return ""
	}
	return l.Addr().String()
}

// ProxyHost passes every connection to the i-th host listener on to a TCP
// address inside, until ctx is done. It returns at once.
func ProxyHost(ctx context.Context, i int, target string) error {
	l, err := HostListener(i)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	go func() {
		defer stop()
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go proxyConn(ctx, conn, target)
			}
		}
	}()
	return nil
}

// proxyConn copies both ways until either side is done. The first half-close
// is passed on, so that a client that only finished sending still gets its
// answer.
func proxyConn(ctx context.Context, outside net.Conn, target string) {
	defer func() { _ = outside.Close() }()
	var dialer net.Dialer
	inside, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = inside.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = outside.Close()
		_ = inside.Close()
	})
	defer stop()

	var both sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}
	both.Go(func() { pipe(inside, outside) })
	both.Go(func() { pipe(outside, inside) })
	both.Wait()
}
