package notify

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var update = flag.Bool("update", false, "write testdata/*.golden instead of comparing with it")

var formats = []Format{FormatSlack, FormatTeams, FormatWebhook, FormatCloudEvents}

// TestMessages compares what each server gets with golden files.
func TestMessages(t *testing.T) {
	hostile := aborted()
	hostile.Type, hostile.Reason, hostile.Step = "Aborted", "Aborted", ""
	hostile.Message = "ada: <!channel> [look](http://evil) & \"run\"\nnow"
	stalled := aborted()
	stalled.Type, stalled.Reason, stalled.Labels, stalled.Canary = "Stalled", "RouteMissing", nil, ""
	stalled.Message = "VirtualService checkout has no route primary"
	rolledBack := aborted()
	rolledBack.Type, rolledBack.Revision, rolledBack.Step = "RolledBack", rolledBack.Stable, v1alpha1.AfterPromotionStep
	for _, format := range formats {
		var text bytes.Buffer
		for _, tc := range []struct {
			notice   *Notice
			template string
		}{
			{aborted(), ""},
			{hostile, ""},
			{rolledBack, ""},
			{stalled, "<https://wiki.example.com/{{.Rollout}}|help>\n{{.Message}}"},
		} {
			m, err := NewMessage(format, tc.notice, tc.template)
			if err != nil {
				t.Fatal(err)
			}
			text.WriteString(m.ContentType + "\n")
			if err := json.Indent(&text, m.Body, "", "  "); err != nil {
				t.Fatal(err)
			}
			text.WriteString("\n")
		}
		compare(t, strings.ToLower(string(format))+".golden", text.Bytes())
	}
	if _, err := NewMessage("", aborted(), ""); err == nil {
		t.Error("no format has a message")
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-golden +now):\n%s", name, diff)
	}
}

// TestCloudEventIsOne reads an event as its receiver does.
func TestCloudEventIsOne(t *testing.T) {
	m, err := NewMessage(FormatCloudEvents, aborted(), "")
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	if err := json.Unmarshal(m.Body, &e); err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	var p Payload
	if err := e.DataAs(&p); err != nil {
		t.Fatal(err)
	}
	if e.Type() != "dev.sluice.rollout.aborted" || e.ID() != aborted().ID() || p.ID != e.ID() || !e.Time().Equal(t0) || p.Message != aborted().Message {
		t.Errorf("got %s with %+v", e, p)
	}
}

// TestCardsAreSmall holds that no card exceeds what Teams takes.
func TestCardsAreSmall(t *testing.T) {
	n := aborted()
	n.Message = strings.Repeat("\"\n", 500)
	m, err := NewMessage(FormatTeams, n, strings.Repeat("{{.Message}}", 10))
	if err != nil || len(m.Body) > 20<<10 {
		t.Errorf("%d bytes, %v", len(m.Body), err)
	}
}

func TestFormatOf(t *testing.T) {
	for want, spec := range map[Format]v1alpha1.NotifierSpec{
		"":                {},
		FormatSlack:       {Slack: &v1alpha1.ChatWebhook{}},
		FormatTeams:       {Teams: &v1alpha1.ChatWebhook{}},
		FormatWebhook:     {Webhook: &v1alpha1.NotificationEndpoint{}},
		FormatCloudEvents: {CloudEvents: &v1alpha1.NotificationEndpoint{}},
	} {
		if got := FormatOf(&spec); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
