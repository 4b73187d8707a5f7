package localcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter moves the program into user and network namespaces of its own, where
// pod addresses are local and nothing outside can be touched. It works as
// root and as an ordinary user.
//
// It re-executes the running program with the same arguments and environment
// and returns nil in that second process only. The first process stays
// behind: it passes signals on, ends what the second leaves over and exits
// with its code, so call Enter before anything else, in main or TestMain.
// When Enter returns an error nothing was started.
func Enter(o EnterOptions) error {
	if Inside() {
		return enterOnce()
	}
	log := o.Log
	if log == nil {
		log = os.Stderr
	}
	if o.Binaries == nil || len(o.Binaries) > 0 {
		if _, err := EnsureBinaries(context.Background(), log, o.Binaries...); err != nil {
			return err
		}
	}
	code, err := runInside(o)
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// Inside tells whether this program runs in the namespaces that Enter makes.
func Inside() bool {
	host := os.Getenv(envHostNamespace)
	if host == "" {
		return false
	}
	current, err := networkNamespace()
	return err == nil && current != host
}

// enterOnce prepares the namespace for the first caller; later calls agree.
var enterOnce = sync.OnceValue(func() error {
	if err := setUpNetwork(PodCIDR); err != nil {
		return fmt.Errorf("set up the cluster's network namespace: %w%s", err, namespaceHint(os.ReadFile))
	}
	return adoptListeners()
})

func networkNamespace() (string, error) {
	return os.Readlink("/proc/self/ns/net")
}

// runInside starts the program again inside new namespaces and waits for it.
func runInside(o EnterOptions) (code int, err error) {
	host, err := networkNamespace()
	if err != nil {
		return 0, fmt.Errorf("read the network namespace: %w", err)
	}
	files, closeFiles, err := openHostListeners(o.Listen)
	if err != nil {
		return 0, err
	}
	defer closeFiles()

	// The kernel ends the child when the thread that made it ends, so this
	// thread must last as long as the process does.
	runtime.LockOSThread()
	// Whatever the child leaves behind becomes ours to end.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become the reaper of the cluster's processes: %w", err)
	}
	env := append(withoutProxies(os.Environ()),
		envHostNamespace+"="+host, envListeners+"="+strconv.Itoa(len(files)))

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	cmd, err := startInside(env, files)
	if err != nil {
		return 0, fmt.Errorf("enter namespaces for the local cluster: %w%s", err, namespaceHint(os.ReadFile))
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s)
			case <-done:
				return
			}
		}
	}()
	_ = cmd.Wait() // the exit code below says it all
	close(done)
	killDescendants(os.Getpid())
	return exitCode(cmd.ProcessState), nil
}

// startInside tries a user namespace first. Root can do without one, which
// matters where user namespaces are switched off.
func startInside(env []string, files []*os.File) (*exec.Cmd, error) {
	cmd, err := startWithFlags(env, files, unix.CLONE_NEWUSER|unix.CLONE_NEWNET)
	if err == nil || os.Geteuid() != 0 {
		return cmd, err
	}
	cmd, rootErr := startWithFlags(env, files, unix.CLONE_NEWNET)
	if rootErr != nil {
		return nil, errors.Join(err, rootErr)
	}
	return cmd, nil
}

func startWithFlags(env []string, files []*os.File, flags uintptr) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env, cmd.ExtraFiles = env, files
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: flags,
		Pdeathsig:  unix.SIGKILL,
		// A group of its own, so that Ctrl-C reaches it once, through us.
		Setpgid: true,
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		// To set the network up, and to serve pods on ports below 1024.
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE}
	}
	forward, err := wireStdin(cmd)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	forward()
	return cmd, nil
}

// wireStdin hands standard input on. A terminal goes through a pipe, because
// a background process group may not read from one.
func wireStdin(cmd *exec.Cmd) (forward func(), err error) {
	if _, err := unix.IoctlGetTermios(int(os.Stdin.Fd()), unix.TCGETS); err != nil {
		cmd.Stdin = os.Stdin
		return func() {}, nil //nolint:nilerr // the error says that it is no terminal
	}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pass on standard input: %w", err)
	}
	return func() {
		go func() {
			defer func() { _ = pipe.Close() }()
			_, _ = os.Stdin.WriteTo(pipe)
		}()
	}, nil
}

func openHostListeners(addresses []string) (files []*os.File, closeAll func(), err error) {
	closeAll = func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("listen on the host: %w", err)
		}
		f, err := listenerFile(l)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("pass on %s: %w", address, err)
		}
		files = append(files, f)
	}
	return files, closeAll, nil
}

// listenerFile returns a descriptor of a listener and closes the listener;
// the socket goes on listening.
func listenerFile(l net.Listener) (*os.File, error) {
	defer func() { _ = l.Close() }()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("a %T has no descriptor", l)
	}
	return tcp.File()
}

// withoutProxies drops proxy settings: nothing outside is reachable from
// inside, and pod addresses must not be asked of a proxy.
func withoutProxies(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "all_proxy", "grpc_proxy":
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

func exitCode(state *os.ProcessState) int {
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// namespaceHint names the kernel settings that forbid unprivileged namespaces
// on this machine, as far as they can be read.
func namespaceHint(read func(string) ([]byte, error)) string {
	var found []string
	for _, s := range []struct{ path, bad, fix string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"},
		{"/proc/sys/user/max_net_namespaces", "0", "sysctl user.max_net_namespaces=15000"},
		{
			"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0",
		},
	} {
		if b, err := read(s.path); err == nil && strings.TrimSpace(string(b)) == s.bad {
			found = append(found, s.fix)
		}
	}
	if len(found) == 0 {
		return " (are user namespaces allowed here? containers often forbid them)"
	}
	return " (this machine forbids unprivileged namespaces; as root: " + strings.Join(found, "; ") + ")"
}
