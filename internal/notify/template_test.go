package notify

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTemplates(t *testing.T) {
	for template, want := range map[string]string{
		"": "shop/checkout Aborted: metric error-ratio: value 0.5 does not meet successWhen value <= 0.01" +
			" (AnalysisFailed, revision 5d8c7b6f9, step ten)",
		"{{.Type}} {{.Stable}}<-{{.Canary}} {{.Time}}":                               "Aborted 85b6f<-5d8c7b6f9 2026-01-02T15:04:05Z",
		"{{with .Step}}in {{.}}{{else}}nowhere{{end}}\n":                             "in ten",
		`{{if and (eq .Type "Aborted") (ne .Reason "Aborted")}}bad{{else}}ok{{end}}`: "bad",
		`{{.Labels.team}}{{index .Labels "none"}} {{$r := .Revision}}{{$r}}`:         "shop 5d8c7b6f9",
		"{{/* nothing */}}plain":                                                     "plain",
	} {
		if err := CheckTemplate(template); err != nil {
			t.Errorf("%s: %v", template, err)
		}
		if got := Text(template, aborted(), asItIs); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", template, got, want)
		}
	}
}

// TestRefusedTemplates holds that nothing gets in that could take long or much, and
// that what does not work is told in the plain sentence all the same.
func TestRefusedTemplates(t *testing.T) {
	plain := Text("", aborted(), asItIs)
	for template, want := range map[string]string{
		"{{.Rollout":  "unclosed action",
		"{{.Secret}}": "can't evaluate field Secret",
		"{{if .Step}}{{else}}{{.Nothing}}{{end}}":        "can't evaluate field Nothing",
		"{{range 1000000000000}}{{end}}":                 "cannot be used",
		"{{range .Labels}}{{end}}":                       "cannot be used",
		`{{printf "%1000000d" 1}}`:                       "function printf cannot be used",
		`{{.Message | print | html}}`:                    "function print cannot be used",
		`{{if (print 1)}}{{end}}`:                        "function print cannot be used",
		`{{with $x := (len .Message)}}{{end}}`:           "function len cannot be used",
		`{{(call .Message).X}}`:                          "function call cannot be used",
		`{{define "x"}}{{template "x"}}{{end}}`:          "define and block cannot be used",
		`{{block "x" .}}y{{end}}`:                        "define and block cannot be used",
		`{{template "template" .}}`:                      "cannot be used",
		`{{define "template"}}{{range 9}}{{end}}{{end}}`: "cannot be used",
		`{{env "HOME"}}`:                                 "not defined",
		strings.Repeat("a", maxTemplate+1):               "more than 4096 bytes",
	} {
		if err := CheckTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", template, err, want)
		}
		if got := Text(template, aborted(), asItIs); got != plain {
			t.Errorf("%.60s gives %s", template, got)
		}
	}
	if got := Text("{{with .Nothing}}{{end}} ", aborted(), asItIs); got != plain {
		t.Errorf("an empty text gives %q", got)
	}
}

func TestTextIsBounded(t *testing.T) {
	n := aborted()
	n.Message = strings.Repeat("€", 400)
	began := time.Now()
	got := Text(strings.Repeat("{{.Message}}", maxTemplate/12), n, asItIs)
	if len(got) > maxText || len(got) < maxText-utf8.UTFMax || !utf8.ValidString(got) {
		t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"{{.Rollout}}", "{{with .Step}}{{.}}{{end}}", `{{index .Labels "a"}}`, "{{range 9}}{{end}}", "{{define \"a\"}}{{end}}", "{{$x := .Type}}{{$x}}"} {
		f.Add(seed, "message <!channel>")
	}
	f.Fuzz(func(t *testing.T, template, message string) {
		n := aborted()
		n.Message = message
		_ = CheckTemplate(template)
		for _, format := range []Format{FormatSlack, FormatTeams, FormatWebhook, FormatCloudEvents} {
			m, err := NewMessage(format, n, template)
			if err != nil || len(m.Body) == 0 || len(m.Body) > 1<<17+6*len(message) {
				t.Errorf("%s: %d bytes, %v", format, len(m.Body), err)
			}
		}
	})
}
