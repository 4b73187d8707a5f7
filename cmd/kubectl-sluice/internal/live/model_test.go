package live_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/live"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story/storytest"
)

var update = flag.Bool("update", false, "write the golden file instead of comparing with it")

// stage drives a view as bubbletea does, and keeps its frames.
type stage struct {
	t      *testing.T
	model  *live.Model
	given  []live.Command
	answer error
	frames strings.Builder
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t}
	s.model = live.New(live.Options{
		Now:     func() time.Time { return storytest.Now },
		Context: t.Context(),
		Act: func(_ context.Context, c live.Command) (string, error) {
			s.given = append(s.given, c)
			return "Applied: it was done", s.answer
		},
	})
	s.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	return s
}

// send gives the view a message, and what comes of it.
func (s *stage) send(msg tea.Msg) (quit bool) {
	s.t.Helper()
	_, cmd := s.model.Update(msg)
	if cmd == nil {
		return false
	}
	switch after := cmd().(type) {
	case tea.QuitMsg:
		return true
	default:
		return s.send(after)
	}
}

func (s *stage) key(key string) (quit bool) {
	s.t.Helper()
	code := []rune(key)[0]
	return s.send(tea.KeyPressMsg{Code: code, Text: key})
}

// frame keeps what is on the screen.
func (s *stage) frame(title string) {
	fmt.Fprintf(&s.frames, "=== %s\n%s\n", title, s.model.Draw())
}

func TestGoldenFrames(t *testing.T) {
	s := newStage(t)
	s.frame("before anything was seen")
	s.send(live.Seen{Snapshot: storytest.Approval()})
	s.frame("a step that waits for approval")
	s.key("p")
	s.frame("the question before a promotion")
	s.key("y")
	s.frame("what became of it")
	s.send(live.Seen{Snapshot: storytest.Baking()})
	s.key("a")
	s.frame("the question before an abort")
	s.key("n")
	s.send(live.Unseen{Err: errors.New("the API server does not answer")})
	s.frame("a look that failed")
	s.send(tea.WindowSizeMsg{Width: 40, Height: 12})
	s.key("j")
	s.key("j")
	s.frame("a small terminal, scrolled by two lines")
	golden(t, s.frames.String())
}

func golden(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("testdata", "frames.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s changed (-golden +now); -update writes it:\n%s", path, diff)
	}
}

// TestCommandsAreBoundToTheScreen holds that a command is for what was shown when the
// question was put, whatever came in since.
func TestCommandsAreBoundToTheScreen(t *testing.T) {
	s := newStage(t)
	s.send(live.Seen{Snapshot: storytest.Approval()})
	s.key("p")
	s.send(live.Seen{Snapshot: storytest.Baking()})
	s.key("y")
	if len(s.given) != 1 {
		t.Fatalf("%d commands were given", len(s.given))
	}
	want := story.Target{Revision: storytest.CanaryRevision, Step: "smoke"}
	if got := s.given[0]; got.Kind != v1alpha1.ActionPromote || got.Target != want || got.Seen.Rollout.Status.Step.Name != "smoke" {
		t.Errorf("given: %v %v", got.Kind, got.Target)
	}
}

// TestKeys holds what each key does where, above all nothing without a yes.
func TestKeys(t *testing.T) {
	tests := []struct {
		name     string
		snapshot *story.Snapshot
		keys     string
		given    []v1alpha1.ActionType
		says     string
		quits    bool
	}{
		{name: "nothing seen", keys: "ay", says: "nothing was seen yet"},
		{name: "abort", snapshot: storytest.Baking(), keys: "ay", given: []v1alpha1.ActionType{v1alpha1.ActionAbort}, says: "Applied: it was done"},
		{name: "promote fully", snapshot: storytest.Baking(), keys: "fY", given: []v1alpha1.ActionType{v1alpha1.ActionPromoteFull}, says: "Applied"},
		{name: "retry", snapshot: storytest.Aborted(), keys: "ry", given: []v1alpha1.ActionType{v1alpha1.ActionRetry}, says: "Applied"},
		{name: "declined", snapshot: storytest.Baking(), keys: "an", says: "nothing was done"},
		{name: "q declines first", snapshot: storytest.Baking(), keys: "aq", says: "nothing was done"},
		{name: "q quits", snapshot: storytest.Baking(), keys: "q", quits: true},
		{name: "a question is not answered by its key", snapshot: storytest.Baking(), keys: "aa", says: "nothing was done"},
		{name: "nothing to abort", snapshot: storytest.Healthy(), keys: "ay", says: "no release of Rollout checkout is in progress"},
		{name: "nothing to retry", snapshot: storytest.Baking(), keys: "ry", says: "no release of Rollout checkout was aborted"},
		{name: "aborted already", snapshot: storytest.Aborted(), keys: "ay", says: "was aborted already"},
		{name: "other keys", snapshot: storytest.Baking(), keys: "xyz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t)
			if tt.snapshot != nil {
				s.send(live.Seen{Snapshot: tt.snapshot})
			}
			quit := false
			for _, key := range tt.keys {
				quit = s.key(string(key))
			}
			var given []v1alpha1.ActionType
			for _, c := range s.given {
				given = append(given, c.Kind)
			}
			if diff := cmp.Diff(tt.given, given); diff != "" || quit != tt.quits {
				t.Errorf("commands (-want +got), quits %t:\n%s", quit, diff)
			}
			if text := s.model.Draw(); !strings.Contains(text, tt.says) {
				t.Errorf("it does not say %q:\n%s", tt.says, text)
			}
		})
	}
}

// TestRefusal holds that an error of a command is shown.
func TestRefusal(t *testing.T) {
	s := newStage(t)
	s.answer = errors.New("refused (StepMismatch): the Rollout is at half")
	s.send(live.Seen{Snapshot: storytest.Approval()})
	s.key("p")
	s.key("y")
	if text := s.model.Draw(); !strings.Contains(text, "error: refused (StepMismatch)") {
		t.Errorf("the refusal is not shown:\n%s", text)
	}
}

// TestFitsTheTerminal holds that no frame is larger than the terminal.
func TestFitsTheTerminal(t *testing.T) {
	for _, size := range []tea.WindowSizeMsg{{Width: 1, Height: 1}, {Width: 30, Height: 10}, {Width: 80, Height: 24}, {Width: 200, Height: 60}} {
		for _, keys := range []string{"", "jjjjj", "a", "G"} {
			s := newStage(t)
			s.send(size)
			s.send(live.Seen{Snapshot: storytest.Waiting()})
			for _, key := range keys {
				s.key(string(key))
			}
			lines := strings.Split(s.model.Draw(), "\n")
			if len(lines) > max(size.Height, 6) {
				t.Errorf("%d lines on a terminal of %v after %q", len(lines), size, keys)
			}
			for _, line := range lines {
				if ansi.StringWidth(line) > max(size.Width, 30) {
					t.Errorf("%d columns on a terminal of %v: %q", ansi.StringWidth(line), size, line)
				}
			}
		}
	}
}
