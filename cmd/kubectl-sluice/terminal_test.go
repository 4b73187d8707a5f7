package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// session is the plugin on a terminal.
type session struct {
	t       *testing.T
	cmd     *exec.Cmd
	tty     *os.File
	mu      sync.Mutex
	out     bytes.Buffer
	screen  *vt.Emulator // what a person would see now
	changed chan struct{}
	ended   chan struct{}
}

// start runs the plugin on a terminal of some columns. The test binary is the plugin
// when it is called so.
func start(t *testing.T, kubeconfig string, columns uint16, args ...string) *session {
	t.Helper()
	path, err := exec.LookPath("kubectl-sluice")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, cmd: exec.Command(path, args...), changed: make(chan struct{}, 1), ended: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+t.TempDir(), "TERM=xterm-256color", "NO_COLOR=")
	const rows = 40
	s.screen = vt.NewEmulator(int(columns), rows)
	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	go s.read()
	go func() { _, _ = io.Copy(s.tty, s.screen) }() // a terminal answers what it is asked
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // an error means that it has ended
		<-s.ended
		_ = s.tty.Close()
	})
	return s
}

// read collects what is drawn until the terminal closes.
func (s *session) read() {
	defer close(s.ended)
	buffer := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buffer)
		s.mu.Lock()
		s.out.Write(buffer[:n])
		if s.screen != nil {
			_, _ = s.screen.Write(buffer[:n])
		}
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return // on Linux reading fails once the program has ended
		}
	}
}

// text is what was drawn, without colours and movements.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ansi.Strip(s.out.String())
}

// seen is what is on the screen now.
func (s *session) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ansi.Strip(s.screen.Render())
}

// await waits until something is on the screen.
func (s *session) await(pattern string) {
	s.t.Helper()
	expression, deadline := regexp.MustCompile(pattern), time.After(patience)
	for !expression.MatchString(s.seen()) {
		select {
		case <-s.changed:
		case <-s.ended:
			s.t.Fatalf("the program ended without %q:\n%s", pattern, s.seen())
		case <-deadline:
			s.t.Fatalf("%q is not on the screen:\n%s", pattern, s.seen())
		}
	}
}

// expect waits until something was drawn.
func (s *session) expect(pattern string) {
	s.t.Helper()
	expression, deadline := regexp.MustCompile(pattern), time.After(patience)
	for !expression.MatchString(s.text()) {
		select {
		case <-s.changed:
		case <-s.ended:
			if !expression.MatchString(s.text()) {
				s.t.Fatalf("the program ended without %q:\n%s", pattern, s.text())
			}
		case <-deadline:
			s.t.Fatalf("%q was not drawn:\n%s", pattern, s.text())
		}
	}
}

func (s *session) send(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// wait returns the exit code.
func (s *session) wait() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatalf("the program did not end:\n%s", s.text())
	}
	err := s.cmd.Wait()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exited.ExitCode()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return 0
}

// stage is a service at its first step, which waits for a person.
type stage struct {
	*world
	t                     *testing.T
	namespace, kubeconfig string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	w := theWorld(t)
	s := &stage{world: w, t: t}
	var err error
	if s.namespace, s.kubeconfig, err = w.world(t); err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) world(t *testing.T) (namespace, kubeconfig string, err error) {
	namespace, kubeconfig, err = w.namespace(t.Context(), t.TempDir())
	if err != nil {
		return "", "", err
	}
	if err := w.service(namespace, "app"); err != nil {
		return "", "", err
	}
	if code := start(t, kubeconfig, 80, "status", "app").wait(); code != exitOK {
		t.Fatalf("the first revision was not deployed: exit code %d", code)
	}
	start(t, kubeconfig, 80, "set", "image", "app", "app=registry.example/app:2").wait()
	return namespace, kubeconfig, w.awaitStep(t.Context(), namespace, "app", "smoke")
}

// commands counts the RolloutActions.
func (s *stage) commands() int {
	s.t.Helper()
	list := &v1alpha1.RolloutActionList{}
	if err := s.client.List(context.Background(), list, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	return len(list.Items)
}

func (s *stage) wantWeight(want string) {
	s.t.Helper()
	if got, err := s.weight(s.namespace, "app"); err != nil || got != want {
		s.t.Errorf("the canary has %s%%, %v, not %s%%", got, err, want)
	}
}

// TestQuestions holds that on a terminal the impact is shown and a question is put,
// and what each answer does.
func TestQuestions(t *testing.T) {
	s := newStage(t)
	run := func(answer string, args ...string) (*session, int) {
		session := start(t, s.kubeconfig, 80, args...)
		session.expect(`\[(y/N|Y/n)\] $`)
		session.send(answer)
		return session, session.wait()
	}

	// Enter does not stand for a promotion.
	promote, code := run("\n", "promote", "app")
	promote.expect(`Step smoke, 1 of 3 of revision [a-z0-9]+ is passed now`)
	promote.expect(`Step half follows, with 50% of requests`)
	promote.expect(`Promote ` + s.namespace + `/app\? \[y/N\]`)
	if code != exitFailed || s.commands() != 0 {
		t.Errorf("exit code %d, %d commands", code, s.commands())
	}
	s.wantWeight("10")

	// Ctrl-C at the question ends the program.
	interrupted := start(t, s.kubeconfig, 80, "abort", "app")
	interrupted.expect(`\[Y/n\] $`)
	interrupted.send("\x03")
	if code := interrupted.wait(); code != exitInterrupted || s.commands() != 0 {
		t.Errorf("exit code %d, %d commands", code, s.commands())
	}

	// It stands for an abort, after which the weight is 0.
	abort, code := run("\n", "abort", "app")
	abort.expect(`They go back to stable revision [a-z0-9]+, of which 4 of 4 pods are\s+available`)
	abort.expect(`All traffic is routed to stable`)
	if code != exitOK || s.commands() != 1 {
		t.Errorf("exit code %d, %d commands", code, s.commands())
	}
	s.wantWeight("0")

	if retry, code := run("n\n", "retry", "app"); code != exitFailed || s.commands() != 1 {
		t.Errorf("exit code %d, %d commands:\n%s", code, s.commands(), retry.text())
	}
	if retry, code := run("y\n", "retry", "app"); code != exitOK || s.commands() != 2 {
		t.Errorf("exit code %d, %d commands:\n%s", code, s.commands(), retry.text())
	}
	if err := s.awaitStep(t.Context(), s.namespace, "app", "smoke"); err != nil {
		t.Fatal(err)
	}

	// A release in progress is not replaced unasked.
	if set, code := run("\n", "set", "image", "app", "app=registry.example/app:3"); code != exitFailed {
		t.Errorf("exit code %d:\n%s", code, set.text())
	}
	// --yes asks nothing.
	yes := start(t, s.kubeconfig, 80, "promote", "app", "--yes")
	if code := yes.wait(); code != exitOK || strings.Contains(yes.text(), "y/N") {
		t.Errorf("exit code %d:\n%s", code, yes.text())
	}
}

// TestTerminal holds that colours and widths follow the terminal.
func TestTerminal(t *testing.T) {
	s := newStage(t)
	get := start(t, s.kubeconfig, 50, "get", "app")
	if code := get.wait(); code != exitOK || !strings.Contains(get.out.String(), "\x1b[33m  Paused") {
		t.Errorf("exit code %d, no colours: %q", code, get.out.String())
	}
	for _, line := range strings.Split(get.text(), "\n") {
		if ansi.StringWidth(line) > 50 {
			t.Errorf("a line is too wide: %q", line)
		}
	}
	t.Setenv("NO_COLOR", "1")
	plain := exec.Command(get.cmd.Path, "get", "app")
	plain.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	tty, err := pty.Start(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tty.Close() }()
	drawn := &session{t: t, cmd: plain, tty: tty, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	drawn.read()
	if out := drawn.out.String(); strings.Contains(out, "\x1b") || !strings.Contains(out, "Paused") {
		t.Errorf("colours in spite of NO_COLOR: %q", out)
	}
	if code := drawn.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestWatch promotes and aborts from within the live view.
func TestWatch(t *testing.T) {
	s := newStage(t)
	watch := start(t, s.kubeconfig, 100, "watch", "app", "--reason", "seen it")
	watch.await(`app  Paused`)
	watch.await(`a abort  p promote`)
	watch.send("p")
	watch.await(`Promote revision [a-z0-9]+\? y for yes`)
	watch.send("y")
	watch.await(`Applied: step smoke was promoted`)
	if err := s.awaitStep(t.Context(), s.namespace, "app", "half"); err != nil {
		t.Fatal(err)
	}
	s.wantWeight("50")
	watch.await(`step half waits for somebody`)
	watch.send("a")
	watch.await(`Abort revision [a-z0-9]+\? y for yes`)
	watch.send("n")
	watch.await(`nothing was done`)
	s.wantWeight("50")
	watch.send("a")
	watch.send("y")
	watch.await(`Degraded`)
	watch.send("q")
	if code := watch.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	s.wantWeight("0")
	if s.commands() != 2 {
		t.Errorf("%d commands", s.commands())
	}
}

// TestFollow holds that lists and trees are shown again when something changes, until
// somebody stops them.
func TestFollow(t *testing.T) {
	s := newStage(t)
	list := start(t, s.kubeconfig, 100, "list", "-w")
	tree := start(t, s.kubeconfig, 100, "get", "app", "-w")
	names := start(t, s.kubeconfig, 100, "get", "app", "-w", "-o", "jsonpath={.status.step.name};")
	list.expect(`app +Paused +smoke 1/3 +10%`)
	tree.expect(`app  Paused`)
	names.expect(`smoke;`)
	if code := start(t, s.kubeconfig, 100, "abort", "app", "--yes").wait(); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	list.expect(`app +Degraded +- +0%`)
	tree.expect(`(?s)---.*app  Degraded \(Aborted\)`)
	names.expect(`smoke;(smoke;)*;`)
	for _, session := range []*session{list, tree, names} {
		session.send("\x03")
		if code := session.wait(); code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
	}
}
