package draw_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"github.com/sluice-dev/sluice/cmd/kubectl-sluice/internal/draw"
)

// styled is all that may be in a drawing besides text.
var styled = regexp.MustCompile(`\x1b\[[0-9]*m`)

// texts are texts as a cluster may hold them, hostile ones included.
var texts = rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z ]{0,60}`), rapid.SampledFrom([]string{
	"\x1b[2J\x1b[H", "\x1b]0;title\x07", "\u009b31m", "a\rb", "a\nb\tc", "\u202egnihton", "日本語のテキスト", "👩‍🚀👩‍🚀", "e\u0301e\u0301", "\xff\xfe",
}))

func node(t *rapid.T, depth int) draw.Node {
	n := draw.Node{
		Name:   draw.Span{Text: texts.Draw(t, "name"), Style: draw.Style(rapid.IntRange(0, 5).Draw(t, "style"))},
		State:  draw.Text(texts.Draw(t, "state")),
		Detail: texts.Draw(t, "detail"),
		Age:    texts.Draw(t, "age"),
	}
	for range rapid.IntRange(0, depth).Draw(t, "children") {
		n.Children = append(n.Children, node(t, depth-1))
	}
	return n
}

// TestNothingButText holds that whatever is drawn, a terminal gets nothing to obey but
// colours, and none without them; and that lines and tables keep to the width.
func TestNothingButText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		screen := draw.Screen{Width: rapid.SampledFrom([]int{0, 30, 80}).Draw(t, "width"), Colour: rapid.Bool().Draw(t, "colour")}
		table := draw.Table{Screen: screen}
		row := []draw.Span{draw.Text(texts.Draw(t, "cell")), draw.Text(texts.Draw(t, "cell"))}
		fit := screen.Line(row...) + table.Draw(draw.Header("A", "B"), row)
		all := fit + screen.Tree([]draw.Node{node(t, 2)}) + screen.Paragraph("  - ", row[0])
		left := styled.ReplaceAllString(all, "")
		for _, r := range left {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
				t.Fatalf("%q is drawn: %q", r, all)
			}
		}
		if !screen.Colour && left != all {
			t.Fatalf("colours are drawn: %q", all)
		}
		for _, line := range strings.Split(fit, "\n") {
			if screen.Width > 0 && ansi.StringWidth(line) > screen.Width {
				t.Fatalf("%d columns: %q", ansi.StringWidth(line), line)
			}
		}
	})
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ got, want string }{
		{draw.Ago(now, now.Add(-90*time.Second)), "90s"},
		{draw.Ago(now, now.Add(time.Minute)), "0s"}, // clocks differ
		{draw.Ago(now, time.Time{}), "-"},
		{draw.In(now, now), "now"},
		{draw.In(now, now.Add(-time.Hour)), "now"},
		{draw.In(now, now.Add(100*time.Millisecond)), "in 1s"},
		{draw.In(now, now.Add(10*time.Minute)), "in 10m"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, not %q", tt.got, tt.want)
		}
	}
}
