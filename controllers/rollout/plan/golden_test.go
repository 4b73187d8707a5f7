package plan

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// story is a world that is told line by line.
type story struct {
	*world
	t    *testing.T
	text strings.Builder
	last string
	told []string
	// wake is when the controller asked to look again.
	wake time.Time
}

const storyFormat = "%8s  %-11s %-8s %-18s %-24s %-34s %s\n"

func newStory(t *testing.T, w *world) *story {
	s := &story{world: w, t: t}
	fmt.Fprintf(&s.text, storyFormat, "time", "step", "weight", "destinations", "available/wanted", "ready", "note")
	return s
}

// does tells what somebody did and lets the controller see it.
func (s *story) does(what string, change func()) {
	change()
	fmt.Fprintf(&s.text, "%8s  > %s\n", s.clock(), what)
	s.decide()
}

func (s *story) clock() string { return s.now.Sub(epoch).String() }

// decide carries out plans until nothing changes at this time.
func (s *story) decide() {
	for range 20 {
		if s.released {
			return
		}
		before := s.world.fingerprint()
		p := Decide(s.observe())
		s.wake = time.Time{}
		if p.RequeueAfter > 0 {
			s.wake = s.now.Add(p.RequeueAfter)
		}
		for _, x := range slices.Concat(s.scaleWrites(p), s.writes(p)) {
			x.do()
		}
		s.tell(p)
		if s.world.fingerprint() == before {
			return
		}
	}
	s.t.Fatalf("the controller does not come to rest at %s:\n%s", s.clock(), s.text.String())
}

// fingerprint tells apart worlds that the next decision may tell apart.
func (w *world) fingerprint() string {
	position, err := json.Marshal(w.position)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %+v %d %v", position, w.net(), len(w.runs), w.released)
	for _, set := range w.sets {
		fmt.Fprintf(&b, " %+v", *set)
	}
	for _, a := range w.actions {
		fmt.Fprintf(&b, " %s %v", a.UID, a.outcome != nil)
	}
	return b.String()
}

// tell adds a line when something that a person would look at changed.
func (s *story) tell(p Plan) {
	var pods []string
	for _, set := range s.sets {
		pods = append(pods, fmt.Sprintf("%s %d/%d", set.revision, s.available(set.revision), len(set.pods)))
	}
	n, step := s.net(), "-"
	if s.position.Step != nil {
		step = s.position.Step.Name
	}
	weight := fmt.Sprintf("%d%%", n.weights[0])
	if n.weights[0] != n.weights[1] {
		weight = fmt.Sprintf("%d%%,%d%%", n.weights[0], n.weights[1])
	}
	destinations := fmt.Sprintf("stable=%s canary=%s", orDash(n.stable), orDash(n.canary))
	if s.problem != nil {
		weight = fmt.Sprintf("%d%%,?", n.weights[0])
	}
	if s.unreadable {
		weight, destinations = "?", "?"
	}
	ready := fmt.Sprintf("%s %s", p.Verdict.Ready.Status, p.Verdict.Ready.Reason)
	if p.Verdict.Stalled != nil {
		ready += " (stalled)"
	}
	told := notesOf(p)
	notes := slices.DeleteFunc(slices.Clone(told), func(n string) bool { return slices.Contains(s.told, n) })
	s.told = told
	facts := fmt.Sprint(step, weight, destinations, pods, ready)
	if facts == s.last && len(notes) == 0 {
		return
	}
	s.last = facts
	first := ""
	if len(notes) > 0 {
		first, notes = notes[0], notes[1:]
	}
	s.line(fmt.Sprintf(storyFormat, s.clock(), step, weight, destinations, strings.Join(pods, " "), ready, first))
	for _, note := range notes {
		s.line(fmt.Sprintf(storyFormat, "", "", "", "", "", "", note))
	}
}

func (s *story) line(text string) {
	s.text.WriteString(strings.TrimRight(text, " \n") + "\n")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// notesOf are the transitions, the outcomes of commands and what is waited for.
func notesOf(p Plan) []string {
	var notes []string
	for _, t := range p.Transitions {
		notes = append(notes, fmt.Sprintf("%s: %s", t.Type, t.Message))
	}
	for _, a := range p.Actions {
		if !a.Applied {
			notes = append(notes, fmt.Sprintf("command refused: %s: %s", a.Reason, a.Message))
		}
	}
	for _, n := range p.Why {
		notes = append(notes, fmt.Sprintf("(%s) %s", n.Topic, n.Text))
	}
	if p.Run != nil && len(p.Transitions) > 0 {
		notes = append(notes, fmt.Sprintf("analysis of attempt %d: %s against %s", p.Run.Attempt, p.Run.Canary, p.Run.Stable))
	}
	for _, name := range p.Forget {
		notes = append(notes, "forgotten: "+name)
	}
	return notes
}

// runs lets d pass: the controller looks whenever something changes by itself and
// when it asked to.
func (s *story) passes(d time.Duration) {
	end := s.now.Add(d)
	for {
		next := end
		for _, t := range append(s.changes(), s.wake) {
			if t.After(s.now) && t.Before(next) {
				next = t
			}
		}
		s.now = next
		if !next.Before(end) {
			return
		}
		s.decide()
	}
}

// rests lets time pass until nothing is under way, at most a day.
func (s *story) rests() {
	end := s.now.Add(24 * time.Hour)
	for s.now.Before(end) && !s.released {
		next := end
		for _, t := range append(s.changes(), s.wake) {
			if t.After(s.now) && t.Before(next) {
				next = t
			}
		}
		if next.Equal(end) {
			fmt.Fprintf(&s.text, "%8s  = at rest\n", s.clock())
			return
		}
		s.now = next
		s.decide()
	}
	fmt.Fprintf(&s.text, "%8s  = released\n", s.clock())
}

// check compares the story with its golden file.
func (s *story) check() {
	s.t.Helper()
	path := filepath.Join("testdata", strings.NewReplacer("TestSequences/", "", "_", "-", "'", "").Replace(s.t.Name())+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(s.text.String()), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatalf("%v (run with -update to write it)", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(s.text.String(), "\n")); diff != "" {
		s.t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

func defaultSteps() []Step {
	return []Step{{Name: "step-1", Weight: 10, Bake: time.Minute}, {Name: "step-2", Weight: 50, Bake: 2 * time.Minute}}
}

// deployed is a story that begins with revision a in place.
func deployed(t *testing.T, steps ...Step) *story {
	if len(steps) == 0 {
		steps = defaultSteps()
	}
	w := newWorld(10, steps...)
	w.spec.Analysed, w.measure = true, 30*time.Second
	s := newStory(t, w)
	s.decide()
	s.rests()
	return s.begins("revision a is stable")
}

// halfway is a story that begins in step-2: half of the requests go to b.
func halfway(t *testing.T) *story {
	s := deployed(t)
	s.push("b")
	s.passes(100 * time.Second)
	return s.begins("revision a is stable, b is in step-2 with 50% since 1m17s")
}

// begins leaves out what was told so far.
func (s *story) begins(with string) *story {
	text := s.text.String()
	s.text.Reset()
	first, _, _ := strings.Cut(text, "\n")
	s.line(first)
	fmt.Fprintf(&s.text, "%8s  . %s\n", s.clock(), with)
	return s
}

func (s *story) push(revision string) {
	s.does("somebody sets the template to "+revision, func() { s.spec.Revision = revision })
}

func (s *story) command(kind v1alpha1.ActionType, revision string) {
	s.does(fmt.Sprintf("ann commands %s of revision %s", kind, revision), func() { s.act(kind, revision) })
}
