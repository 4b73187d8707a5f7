package show_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story/storytest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

var snapshots = []struct {
	name string
	make func() *story.Snapshot
}{
	{"healthy", storytest.Healthy},
	{"approval", storytest.Approval},
	{"baking", storytest.Baking},
	{"waiting", storytest.Waiting},
	{"aborted", storytest.Aborted},
	{"unobserved", func() *story.Snapshot {
		s := storytest.Healthy()
		s.Rollout.Generation++
		return s
	}},
	{"unread", func() *story.Snapshot {
		s := storytest.Baking()
		s.Pods, s.ReplicaSets = nil, nil
		s.Unread = []string{`ReplicaSets are not shown: replicasets.apps is forbidden: User "jane" cannot list resource "replicasets"`}
		return s
	}},
}

// TestGolden compares what is drawn for every kind of standing, where there is no
// limit, on a terminal of 80 columns, and on a narrow one.
func TestGolden(t *testing.T) {
	for _, tt := range snapshots {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			for _, width := range []int{0, 80, 40} {
				screen := draw.Screen{Width: width}
				fmt.Fprintf(&b, "=== get, width %d\n%s", width, show.Rollout(screen, tt.make(), false))
				fmt.Fprintf(&b, "=== explain, width %d\n%s", width, show.Explanation(screen, tt.make()))
			}
			fmt.Fprintf(&b, "=== get, wide\n%s", show.Rollout(draw.Screen{}, tt.make(), true))
			golden(t, tt.name, b.String())
		})
	}
}

// TestGoldenColour holds what colours add, and that they add nothing else.
func TestGoldenColour(t *testing.T) {
	coloured := show.Rollout(draw.Screen{Width: 100, Colour: true}, storytest.Aborted(), false)
	plain := show.Rollout(draw.Screen{Width: 100}, storytest.Aborted(), false)
	if diff := cmp.Diff(plain, ansi.Strip(coloured)); diff != "" {
		t.Errorf("colours change the text (-plain +coloured):\n%s", diff)
	}
	golden(t, "colour", strings.ReplaceAll(coloured, "\x1b", "ESC"))
}

// TestWidth holds that no line is wider than the terminal, commands to be copied
// apart.
func TestWidth(t *testing.T) {
	for _, tt := range snapshots {
		for width := 30; width <= 120; width++ {
			screen := draw.Screen{Width: width, Colour: true}
			for _, text := range []string{show.Rollout(screen, tt.make(), true), show.Explanation(screen, tt.make())} {
				for _, line := range strings.Split(text, "\n") {
					if got := ansi.StringWidth(line); got > width && !strings.Contains(line, "kubectl ") {
						t.Fatalf("%s: a line has %d columns of %d: %q", tt.name, got, width, line)
					}
				}
			}
		}
	}
}

// TestHostileText holds that no text of an object reaches the terminal as anything
// but text.
func TestHostileText(t *testing.T) {
	text := show.Rollout(draw.Screen{}, storytest.Hostile(), true) + show.Explanation(draw.Screen{}, storytest.Hostile())
	if strings.ContainsAny(text, "\x1b\r\u202e") {
		t.Errorf("control characters were drawn: %q", text)
	}
	if !strings.Contains(text, "mallory") {
		t.Errorf("the text is gone altogether:\n%s", text)
	}
}

func TestGoldenList(t *testing.T) {
	var all []v1alpha1.Rollout
	for i, tt := range snapshots[:5] {
		r := tt.make().Rollout
		r.Name = fmt.Sprintf("checkout-%d", i)
		all = append(all, *r)
	}
	var b strings.Builder
	for _, list := range []*show.List{{}, {Namespaces: true, Wide: true}, {Screen: draw.Screen{Width: 60}}} {
		b.WriteString(list.Rows(storytest.Now, all) + "--- one more\n" + list.Rows(storytest.Now, all[:1]) + "\n")
	}
	golden(t, "list", b.String())
}

func TestGoldenHistory(t *testing.T) {
	history := storytest.Aborted().Rollout.Status.History
	golden(t, "history", show.History(draw.Screen{}, storytest.Now, history)+"\n"+show.History(draw.Screen{Width: 60}, storytest.Now, history))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
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
