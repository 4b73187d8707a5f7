// Package live is the terminal view of one Rollout: it redraws in place, and takes
// keys that command the release, each with a question first.
package live

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/show"
	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/story"
)

// Seen tells the view of a new look at the Rollout.
type Seen struct{ Snapshot *story.Snapshot }

// Unseen tells the view that a look failed; what is shown is the last that worked.
type Unseen struct{ Err error }

// Command is a command that a person confirmed, bound to what was on the screen when
// the question was put.
type Command struct {
	Kind   v1alpha1.ActionType
	Target story.Target
	Seen   *story.Snapshot
}

// Options are what the view needs from outside.
type Options struct {
	// Act carries out a command and returns what became of it.
	Act func(ctx context.Context, c Command) (string, error)
	// Now tells the time.
	Now func() time.Time
	// Colour is whether styles are shown.
	Colour bool
	// Context ends what Act does.
	Context context.Context
}

// Model implements tea.Model.
type Model struct {
	options       Options
	width, height int
	top           int // the first line of the tree that is shown
	seen          *story.Snapshot
	problem       error
	asking        *question
	message       string
	busy          bool
}

// question is what is asked before a command is given.
type question struct {
	command Command
	impact  []string
}

// outcome is what became of a command.
type outcome struct {
	text string
	err  error
}

// second makes the view count.
type second struct{}

// The smallest screen that is drawn; a smaller terminal shows a part of it.
const (
	leastWidth  = 30
	leastHeight = 6
)

// New returns a view that shows nothing yet.
func New(o Options) *Model { return &Model{options: o, width: 80, height: 24} }

// Snapshot returns what was seen last, or nil.
func (m *Model) Snapshot() *story.Snapshot { return m.seen }

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return tick() }

func tick() tea.Cmd {
	return tea.Tick(time.Second, func(time.Time) tea.Msg { return second{} })
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(msg.Width, leastWidth), max(msg.Height, leastHeight)
	case Seen:
		m.seen, m.problem = msg.Snapshot, nil
	case Unseen:
		m.problem = msg.Err
	case outcome:
		m.busy, m.message = false, msg.text
		if msg.err != nil {
			m.message = "error: " + msg.err.Error()
		}
	case second:
		return m, tick()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// key carries out a key.
func (m *Model) key(key string) tea.Cmd {
	if key == "ctrl+c" {
		return tea.Quit
	}
	if m.asking != nil {
		return m.answer(key)
	}
	switch key {
	case "q", "esc":
		return tea.Quit
	case "p":
		m.ask(v1alpha1.ActionPromote)
	case "f":
		m.ask(v1alpha1.ActionPromoteFull)
	case "a":
		m.ask(v1alpha1.ActionAbort)
	case "r":
		m.ask(v1alpha1.ActionRetry)
	case "up", "k":
		m.top--
	case "down", "j":
		m.top++
	case "pgup":
		m.top -= m.height / 2
	case "pgdown", "space":
		m.top += m.height / 2
	case "home", "g":
		m.top = 0
	}
	return nil
}

// ask puts the question before a command, or says why there is nothing to do.
func (m *Model) ask(kind v1alpha1.ActionType) {
	m.message = ""
	switch {
	case m.seen == nil:
		m.message = "nothing was seen yet"
		return
	case m.busy:
		m.message = "the last command is still on its way"
		return
	}
	target, err := story.Aim(m.seen.Rollout, kind, story.Target{})
	if err != nil {
		m.message = err.Error()
		return
	}
	m.asking = &question{command: Command{kind, target, m.seen}, impact: story.Impact(m.seen, kind, target.To)}
}

// answer takes the answer to a question: y, and anything else for no.
func (m *Model) answer(key string) tea.Cmd {
	command := m.asking.command
	m.asking = nil
	if key != "y" && key != "Y" {
		m.message = "nothing was done"
		return nil
	}
	m.busy, m.message = true, fmt.Sprintf("%s of revision %s is on its way", command.Kind, command.Target.Revision)
	return func() tea.Msg {
		text, err := m.options.Act(m.options.Context, command)
		return outcome{text, err}
	}
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(m.Draw())
	v.AltScreen = true
	return v
}

// Draw returns the screen: as much of the tree as there is room for, and the footer.
func (m *Model) Draw() string {
	footer := m.footer()
	if excess := len(footer) - (m.height - 1); excess > 0 {
		footer = footer[excess:] // what is asked stands at its end
	}
	room := m.height - len(footer)
	body := m.body()
	m.top = max(0, min(m.top, len(body)-room))
	body = body[m.top:min(len(body), m.top+room)]
	for len(body) < room {
		body = append(body, "")
	}
	return strings.Join(append(body, footer...), "\n")
}

func (m *Model) screen() draw.Screen { return draw.Screen{Width: m.width, Colour: m.options.Colour} }

func (m *Model) body() []string {
	if m.seen == nil {
		return []string{"Looking ..."}
	}
	now := *m.seen
	now.Now = m.options.Now()
	return lines(show.Rollout(m.screen(), &now, false))
}

// footer is what stands at the bottom: a problem, a question or the last outcome, and
// the keys.
func (m *Model) footer() []string {
	screen := m.screen()
	var b strings.Builder
	b.WriteString("\n")
	if m.problem != nil {
		b.WriteString(screen.Paragraph("", draw.Span{Text: "The last look failed, this is older: " + m.problem.Error(), Style: draw.Bad}))
	}
	if m.message != "" {
		b.WriteString(screen.Paragraph("", draw.Span{Text: m.message, Style: draw.Strong}))
	}
	if q := m.asking; q != nil {
		for _, sentence := range q.impact {
			b.WriteString(screen.Paragraph("", draw.Text(sentence)))
		}
		b.WriteString(screen.Line(draw.Span{Text: fmt.Sprintf("%s revision %s? y for yes, any other key for no", q.command.Kind, q.command.Target.Revision), Style: draw.Warning}))
		return lines(b.String())
	}
	b.WriteString(screen.Line(draw.Span{Text: m.keys(), Style: draw.Faint}))
	return lines(b.String())
}

// keys names those that do something now.
func (m *Model) keys() string {
	keys := []string{"q quit", "↑↓ scroll"}
	if m.seen != nil && story.Releasing(m.seen.Rollout) {
		keys = append([]string{"a abort", "p promote", "f promote fully"}, keys...)
	}
	if m.seen != nil && story.Aborted(m.seen.Rollout) {
		keys = append([]string{"r retry"}, keys...)
	}
	return strings.Join(keys, "  ")
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }
