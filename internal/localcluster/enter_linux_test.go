//go:build !e2e

package localcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envHelper makes the test binary act as a program that enters, see
// helperMain.
const envHelper = "SLUICE_LOCALCLUSTER_TEST_HELPER"

// helperExit is what the helper exits with when it is asked to end.
const helperExit = 7

func TestMain(m *testing.M) {
	if os.Getenv(envHelper) != "" {
		if err := helperMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// helperMain enters, serves a pod address to the host, starts a program that
// starts another one in a session of its own, and waits for a signal.
func helperMain() error {
	if err := Enter(EnterOptions{Listen: []string{"127.0.0.1:0"}, Binaries: []string{}}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "10.244.1.2:80")
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pod") }))
	}()
	if err := ProxyHost(context.Background(), 0, "10.244.1.2:80"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "enter-test-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := startProcess(dir, "child", "sh", []string{"-c", "setsid sleep 600 & echo $!; exec sleep 600"}, nil)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	orphan := ""
	err = await(context.Background(), "wait for the orphan", p, func(context.Context) error {
		b, err := os.ReadFile(p.LogPath())
		if orphan = strings.TrimSpace(string(b)); err == nil && orphan == "" {
			return errors.New("nothing printed")
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s %d %d %s\n", HostAddr(0), os.Getpid(), p.PID(), orphan)
	<-signals
	os.Exit(helperExit)
	return nil
}

// helper is the program that entered, seen from the host.
type helper struct {
	outer                *exec.Cmd
	addr                 string
	inner, child, orphan int
}

func startHelper(t *testing.T) helper {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envHelper+"=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		if strings.Contains(stderr.String(), "enter namespaces") {
			t.Skipf("this machine cannot enter namespaces: %s", stderr.String())
		}
		t.Fatalf("helper: %v: %s", err, stderr.String())
	}
	h := helper{outer: cmd}
	if _, err := fmt.Sscan(line, &h.addr, &h.inner, &h.child, &h.orphan); err != nil {
		t.Fatalf("helper printed %q: %v", line, err)
	}
	t.Cleanup(func() { _ = syscall.Kill(h.orphan, syscall.SIGKILL) })
	return h
}

// expectGone waits until none of the processes runs; zombies do not.
func expectGone(t *testing.T, pids ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, pid := range pids {
		err := await(ctx, "wait for the end of "+strconv.Itoa(pid), nil, func(context.Context) error {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || strings.Contains(string(b), ") Z ") {
				return nil
			}
			return fmt.Errorf("still there: %s", b)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestHostReachesPodAddress(t *testing.T) {
	h := startHelper(t)
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "pod" {
		t.Fatalf("got %q, %v", body, err)
	}
	if l, err := net.Listen("tcp", "10.244.1.2:0"); err == nil {
		_ = l.Close()
		t.Error("the pod address is local on the host too")
	}
}

func TestSignalsAndExitCodePassThrough(t *testing.T) {
	h := startHelper(t)
	if err := h.outer.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := h.outer.Wait(); !errors.As(err, &exit) || exit.ExitCode() != helperExit {
		t.Errorf("ended with %v, want exit code %d", err, helperExit)
	}
	expectGone(t, h.inner, h.child, h.orphan)
}

func TestNothingOutlivesAKilledInside(t *testing.T) {
	h := startHelper(t)
	if err := syscall.Kill(h.inner, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := h.outer.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("ended with %v, want exit code %d", err, 128+int(syscall.SIGKILL))
	}
	expectGone(t, h.inner, h.child, h.orphan)
}

func TestNothingOutlivesAKilledOutside(t *testing.T) {
	h := startHelper(t)
	if err := h.outer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.outer.Wait()
	expectGone(t, h.inner, h.child)
}

func TestNamespaceHint(t *testing.T) {
	settings := map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}
	read := func(path string) ([]byte, error) {
		if v, ok := settings[path]; ok {
			return []byte(v), nil
		}
		return nil, os.ErrNotExist
	}
	if got := namespaceHint(read); !strings.Contains(got, "sysctl kernel.apparmor_restrict_unprivileged_userns=0") {
		t.Errorf("got %q", got)
	}
	settings = map[string]string{"/proc/sys/user/max_user_namespaces": "96365"}
	if got := namespaceHint(read); strings.Contains(got, "sysctl") {
		t.Errorf("blames a setting that is fine: %q", got)
	}
}

func TestParseProcStat(t *testing.T) {
	line := "42 (a ) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 100 1000 25 18446744073709551615"
	s, err := parseProcStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if want := (procStat{pid: 42, parent: 7, cpu: 2 * time.Second, rssPages: 25}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 1 2"} {
		if _, err := parseProcStat([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestPeakRSS(t *testing.T) {
	if got := peakRSS([]byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")); got != 2<<20 {
		t.Errorf("got %d", got)
	}
	if got := peakRSS([]byte("Name:\tx\n")); got != 0 {
		t.Errorf("got %d for a process without memory", got)
	}
}

func TestWithoutProxies(t *testing.T) {
	got := withoutProxies([]string{"HTTP_PROXY=http://x", "https_proxy=http://x", "no_proxy=y", "PATH=/bin"})
	if want := "no_proxy=y PATH=/bin"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}
