package analysis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Placeholders of a query, as they are written between double braces.
const (
	placeholderNamespace = "namespace"
	placeholderRollout   = "rollout"
	placeholderStable    = "stable"
	placeholderCanary    = "canary"
	placeholderWindow    = "window"
	placeholderRevision  = "revision"
)

var placeholders = []string{
	placeholderNamespace, placeholderRollout, placeholderStable, placeholderCanary, placeholderWindow,
}

// selectorPlaceholders are those of a selector that is filled in for one revision
// after the other.
var selectorPlaceholders = []string{placeholderRevision, placeholderNamespace, placeholderRollout}

// Variables are what a query's placeholders stand for, but for the window.
type Variables struct {
	// Namespace of the Rollout.
	Namespace string
	// Rollout is its name.
	Rollout string
	// Stable and Canary are revisions.
	Stable, Canary string
	// Revision is the one of the two that a selector is for.
	Revision string
}

// VariablesOf returns the variables of a run.
func VariablesOf(run *v1alpha1.AnalysisRun) Variables {
	return Variables{
		Namespace: run.Namespace,
		Rollout:   run.Spec.Subject.Rollout,
		Stable:    run.Spec.Subject.StableRevision,
		Canary:    run.Spec.Subject.CanaryRevision,
	}
}

func (v Variables) value(placeholder string) string {
	switch placeholder {
	case placeholderNamespace:
		return v.Namespace
	case placeholderRollout:
		return v.Rollout
	case placeholderStable:
		return v.Stable
	case placeholderRevision:
		return v.Revision
	default:
		return v.Canary
	}
}

// Template is a query with placeholders.
type Template struct {
	// text and names alternate: text[0] names[0] text[1] … names[n-1] text[n].
	text, names []string
}

// ParseTemplate finds the placeholders of a query. Whatever else stands between
// double braces is an error.
func ParseTemplate(query string) (*Template, error) { return parseTemplate(query, placeholders) }

func parseTemplate(query string, placeholders []string) (*Template, error) {
	t := &Template{}
	rest := query
	for {
		before, after, found := strings.Cut(rest, "{{")
		t.text = append(t.text, before)
		if !found {
			return t, nil
		}
		inner, tail, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("%q has no closing braces", shorten("{{"+after, 40))
		}
		name := strings.TrimSpace(inner)
		if !slices.Contains(placeholders, name) {
			return nil, fmt.Errorf("unknown placeholder %q: use one of {{%s}}",
				shorten("{{"+inner+"}}", 80), strings.Join(placeholders, "}}, {{"))
		}
		t.names = append(t.names, name)
		rest = tail
	}
}

// Render fills the placeholders in: values escaped for use inside a quoted string,
// the window as a duration in whole seconds.
func (t *Template) Render(v Variables, window time.Duration) string {
	var b strings.Builder
	for i, text := range t.text {
		b.WriteString(text)
		switch {
		case i == len(t.names):
		case t.names[i] == placeholderWindow:
			b.WriteString(strconv.FormatInt(int64(window/time.Second), 10) + "s")
		default:
			b.WriteString(escape(v.value(t.names[i])))
		}
	}
	return b.String()
}

// Windowed tells whether the query has the placeholder of the window.
func (t *Template) Windowed() bool { return slices.Contains(t.names, placeholderWindow) }

// escaper writes what could end a quoted string, or the line, in a form that
// means the same between single and double quotes, and that ends nothing between
// backquotes or outside of quotes.
var escaper = strings.NewReplacer(
	`\`, `\\`, `"`, `\x22`, `'`, `\x27`, "`", `\x60`, "\n", `\n`, "\r", `\r`,
	"{", `\x7b`, "}", `\x7d`, "#", `\x23`,
)

func escape(value string) string { return escaper.Replace(value) }
