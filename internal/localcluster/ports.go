package localcluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Ports are given out from below the range that the kernel takes outgoing
// ports from (32768 and up), so that nothing takes one between the moment it
// was found free and the moment its program listens on it.
const (
	firstPort = 20000
	lastPort  = 32000
)

var ports struct {
	sync.Mutex
	next int
}

// freeAddr returns a loopback address that nothing listens on and that no
// earlier call returned.
func freeAddr() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	for ports.next = max(ports.next, firstPort); ports.next <= lastPort; ports.next++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.next))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		ports.next++
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("probe %s: %w", addr, err)
		}
		return addr, nil
	}
	return "", fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// await polls until check returns nil, the process ends, or ctx is done; p
// may be nil. The error says what was awaited and why the last check failed.
func await(ctx context.Context, what string, p *Process, check func(context.Context) error) error {
	const every = 50 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var done <-chan struct{}
	if p != nil {
		done = p.Done()
	}
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s: the process ended: %w; its log ends with:\n%s", what, err, p.logTail())
		case <-ctx.Done():
			if p != nil {
				return fmt.Errorf("%s: %w (last: %w); its log ends with:\n%s", what, ctx.Err(), err, p.logTail())
			}
			return fmt.Errorf("%s: %w (last: %w)", what, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// httpReady returns a check that a GET answers with 200.
func httpReady(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}
