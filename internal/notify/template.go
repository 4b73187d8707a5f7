package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

const (
	// maxTemplate is the most bytes that a template may have.
	maxTemplate = 4096
	// maxText is the most bytes of a text; the rest is cut.
	maxText = 4096
)

// Fields are what a template can use. All are text, and have no methods: a template
// can reach nothing else.
type Fields struct {
	// Namespace and Rollout name the Rollout.
	Namespace, Rollout string
	// Labels of the Rollout.
	Labels map[string]string
	// Type is the trigger's.
	Type string
	// Reason of the transition, or of the condition Stalled.
	Reason string
	// Revision that it concerns, and Step in which it happened, if in any.
	Revision, Step string
	// Stable and Canary are the two revisions afterwards, or empty.
	Stable, Canary string
	// Message says why, with the numbers behind it.
	Message string
	// Time at which it happened, as in 2026-01-02T15:04:05Z.
	Time string
}

func fieldsOf(n *Notice, escape func(string) string) Fields {
	labels := make(map[string]string, len(n.Labels))
	for name, value := range n.Labels {
		labels[name] = escape(value)
	}
	return Fields{
		Namespace: escape(n.Namespace), Rollout: escape(n.Rollout), Labels: labels,
		Type: escape(string(n.Type)), Reason: escape(n.Reason),
		Revision: escape(n.Revision), Step: escape(n.Step), Stable: escape(n.Stable), Canary: escape(n.Canary),
		Message: escape(n.Message), Time: n.At.UTC().Format(time.RFC3339),
	}
}

// sentence is the text without a template.
var sentence = template.Must(template.New("").Parse(
	`{{.Namespace}}/{{.Rollout}} {{.Type}}{{with .Message}}: {{.}}{{end}}` +
		` ({{.Reason}}{{with .Revision}}, revision {{.}}{{end}}` +
		`{{if eq .Type "RolledBack"}}{{with .Canary}} in place of {{.}}{{end}}{{end}}{{with .Step}}, step {{.}}{{end}})`))

// Text renders a notice. escape is applied to what is inserted and not to the
// template's own text, which whoever wrote the Notifier answers for. A template that
// cannot be used silences nobody: the plain sentence takes its place.
func Text(text string, n *Notice, escape func(string) string) string {
	fields := fieldsOf(n, escape)
	if text != "" {
		if parsed, err := parseTemplate(text); err == nil {
			if rendered, err := render(parsed, fields); err == nil && strings.TrimSpace(rendered) != "" {
				return strings.TrimSpace(rendered)
			}
		}
	}
	rendered, err := render(sentence, fields)
	if err != nil {
		return fields.Namespace + "/" + fields.Rollout + " " + fields.Type
	}
	return rendered
}

// CheckTemplate tells whether a template can be used: it is parsed, held to what it
// may contain, and tried.
func CheckTemplate(text string) error {
	if text == "" {
		return nil
	}
	parsed, err := parseTemplate(text)
	if err != nil {
		return err
	}
	plain := func(s string) string { return s }
	everything := Notice{
		Namespace: "n", Rollout: "r", Labels: map[string]string{}, Type: "t", Reason: "r", Revision: "r",
		Step: "s", Stable: "s", Canary: "c", Message: "m",
	}
	for _, n := range []Notice{everything, {}} {
		if _, err := render(parsed, fieldsOf(&n, plain)); err != nil {
			return err
		}
	}
	return nil
}

func parseTemplate(text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("it has more than %d bytes", maxTemplate)
	}
	t, err := template.New("template").Option("missingkey=zero").Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("define and block cannot be used")
	}
	return t, allowed(t.Root)
}

// functions that a template may call. Those of the language that build text could
// build more of it than fits into memory.
var functions = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index"}

// allowed refuses what could take long: without loops, calls of templates and
// functions that build text, a template runs once from its start to its end.
func allowed(node parse.Node) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return allowedAll(n.Nodes)
	case *parse.ActionNode:
		return allowed(n.Pipe)
	case *parse.IfNode:
		return allowedAll([]parse.Node{n.Pipe, n.List, n.ElseList})
	case *parse.WithNode:
		return allowedAll([]parse.Node{n.Pipe, n.List, n.ElseList})
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			if err := allowedAll(command.Args); err != nil {
				return err
			}
		}
		return nil
	case *parse.ChainNode:
		return allowed(n.Node)
	case *parse.IdentifierNode:
		if !slices.Contains(functions, n.Ident) {
			return fmt.Errorf("function %s cannot be used", n.Ident)
		}
		return nil
	case *parse.TextNode, *parse.CommentNode, *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.NilNode,
		*parse.BoolNode, *parse.NumberNode, *parse.StringNode:
		return nil
	default:
		return fmt.Errorf("%s cannot be used", node)
	}
}

func allowedAll(nodes []parse.Node) error {
	for _, n := range nodes {
		if err := allowed(n); err != nil {
			return err
		}
	}
	return nil
}

// errFull ends a template whose text is long enough.
var errFull = errors.New("the text is full")

// limited takes text up to a limit.
type limited struct{ text strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxText - l.text.Len(); len(p) > room {
		_, _ = l.text.Write(p[:room])
		return room, errFull
	}
	return l.text.Write(p)
}

func render(t *template.Template, fields Fields) (string, error) {
	var out limited
	err := t.Execute(&out, fields)
	if err != nil && !errors.Is(err, errFull) {
		return "", err
	}
	return strings.ToValidUTF8(out.text.String(), ""), nil // the cut may be within a letter
}
