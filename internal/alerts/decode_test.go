package alerts

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

const sampleMessage = `{
 "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 2, "status": "firing", "receiver": "sluice",
 "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://a", "newer": {"field": [1]},
 "alerts": [
  {"status": "firing", "labels": {"alertname": "A"}, "annotations": {"x": "y"}, "startsAt": "2026-01-05T11:59:00.123Z",
   "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://g", "fingerprint": "08a1c2d3e4f50617", "newer": true},
  {"status": "resolved", "labels": {"alertname": "B"}, "startsAt": "2026-01-05T11:00:00+01:00", "endsAt": "2026-01-05T11:30:00Z", "fingerprint": "b"},
  {"status": "firing", "labels": {"alertname": "C"}, "startsAt": "2026-01-05T11:00:00Z", "endsAt": "2026-01-05T11:59:59Z", "fingerprint": "c"},
  {"status": "firing", "labels": {"alertname": "D"}, "startsAt": "2026-01-05T11:00:00Z", "fingerprint": "../../etc"},
  {"status": "firing", "labels": {"alertname": "E"}, "fingerprint": "e"},
  {"status": "firing", "labels": {}, "startsAt": "2026-01-05T11:00:00Z", "fingerprint": "f"},
  {"status": "odd", "labels": {"alertname": "G"}, "startsAt": "2026-01-05T11:00:00Z", "fingerprint": "g"}
 ]}`

// TestDecodeMessage holds that a group mixes what fires and what was resolved, that
// what is not known is ignored, and that a mistake spoils one alert alone.
func TestDecodeMessage(t *testing.T) {
	n, err := decodeMessage([]byte(sampleMessage), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := []Alert{
		{Labels: map[string]string{"alertname": "A"}, Fingerprint: "08a1c2d3e4f50617", StartsAt: noon.Add(-time.Minute + 123*time.Millisecond), Firing: true},
		{Labels: map[string]string{"alertname": "B"}, Fingerprint: "b", StartsAt: noon.Add(-2 * time.Hour)},
		{Labels: map[string]string{"alertname": "C"}, Fingerprint: "c", StartsAt: noon.Add(-time.Hour)},
		{Labels: map[string]string{"alertname": "D"}, Fingerprint: fingerprint(map[string]string{"alertname": "D"}), StartsAt: noon.Add(-time.Hour), Firing: true},
	}
	if diff := cmp.Diff(want, n.alerts); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if n.dropped != 3 || n.truncated != 2 {
		t.Errorf("dropped %d, truncated %d; want 3 and 2", n.dropped, n.truncated)
	}
}

func TestDecodeMessageRefusals(t *testing.T) {
	many := `{"version":"4","alerts":[` + strings.Repeat(`{},`, maxAlerts) + `{}]}`
	for _, body := range []string{"", "null", "[]", "<html>", `{"version":"3"}`, `{}`, `{"version":4}`, `{"version":"4","alerts":7}`, many} {
		if n, err := decodeMessage([]byte(body), noon); err == nil {
			t.Errorf("%.40q: %+v", body, n)
		}
	}
}

// TestDecodeList holds that what is silenced or inhibited is left out even if the
// server sent it.
func TestDecodeList(t *testing.T) {
	alert := func(name, more, status string) string {
		return `{"labels":{"alertname":"` + name + `"},"startsAt":"2026-01-05T11:00:00Z","fingerprint":"` + name + `"` + more + `,"status":` + status + `}`
	}
	body := "[" + strings.Join([]string{
		alert("active", "", `{"state":"active","silencedBy":[],"inhibitedBy":[]}`),
		alert("silenced", "", `{"state":"suppressed","silencedBy":["s"],"inhibitedBy":[]}`),
		alert("silenced2", "", `{"state":"active","silencedBy":["s"]}`),
		alert("inhibited", "", `{"state":"active","inhibitedBy":["s"]}`),
		alert("over", `,"endsAt":"2026-01-05T11:59:00Z"`, `{"state":"active"}`),
		alert("goeson", `,"endsAt":"2026-01-05T12:04:00Z"`, `{"state":"active"}`),
		alert("odd", `,"endsAt":"SECRET-BODY-TEXT"`, `{"state":"active"}`),
		`"SECRET-BODY-TEXT"`,
	}, ",") + "]"
	alerts, err := decodeList([]byte(body), noon)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.Labels["alertname"])
	}
	if diff := cmp.Diff([]string{"active", "goeson"}, names); diff != "" {
		t.Error(diff)
	}
	for _, body := range []string{"<html>SECRET", `{"SECRET":1}`, `"SECRET"`, `[{"labels"`} {
		if _, err := decodeList([]byte(body), noon); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", body, err)
		}
	}
	if alerts, err := decodeList([]byte("null"), noon); err != nil || len(alerts) != 0 {
		t.Errorf("none: %v, %v", alerts, err)
	}
}

// TestDecodeIsBounded holds that a message of next to nothing takes no memory to speak
// of, and that labels have an end.
func TestDecodeIsBounded(t *testing.T) {
	body := []byte(`{"version":"4","alerts":[{}` + strings.Repeat(",{}", maxBody/3) + `]}`)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := decodeMessage(body, noon); err == nil {
				b.Fatal("too many alerts were taken")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 8*maxBody {
		t.Errorf("%d bytes for a message of %d", allocated, len(body))
	}
	long := map[string]string{"alertname": strings.Repeat("x", maxLabelBytes)}
	if _, ok := newAlert(long, "", noon, true); ok {
		t.Error("labels have no end")
	}
}

// FuzzDecode holds that no body makes alerts that what follows cannot take.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sampleMessage))
	f.Add([]byte(`{"version":"4","alerts":[{"status":"firing","labels":{"a":"\u0000"},"startsAt":"9999-12-31T23:59:59Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := decodeMessage(body, noon)
		if err != nil {
			return
		}
		list, err := decodeList(body, noon)
		if err == nil {
			n.alerts = append(n.alerts, list...)
		}
		rules, err := ParseRules(&v1alpha1.RolloutSpec{Alerts: specs("abort")})
		if err != nil {
			t.Fatal(err)
		}
		target := sampleTarget()
		matches, err := due(t.Context(), []release{{target: target, rules: rules}}, n.alerts, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range matches {
			a := makeAction(&m, "somebody", 0, 1, noon)
			raw, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Spec.Reason) > 512 || len(a.Name) > 253 || !fingerprintForm.MatchString(a.Spec.Alert.Fingerprint) {
				t.Fatalf("%s", raw)
			}
		}
	})
}
