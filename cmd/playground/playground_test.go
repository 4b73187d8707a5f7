package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/cmd/playground/report"
	"github.com/sluice-dev/sluice/cmd/playground/timeline"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

var began = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

func ended(kind v1alpha1.TransitionType, reason string) *v1alpha1.Rollout {
	return &v1alpha1.Rollout{Status: v1alpha1.RolloutStatus{
		Attempt:        2,
		LastTransition: &v1alpha1.Transition{Type: kind, Revision: "b", Reason: reason, Message: "because"},
	}}
}

func newRelease() *release {
	r := &release{began: began, base: localcluster.TrafficSnapshot{
		Revisions: map[string]localcluster.RevisionStats{"a": {Version: "v1", Requests: 100}},
	}}
	r.seeSplit(after(0), timeline.Split{Stable: "a"}) // not known which revisions it is about
	r.name("a", "b", 2)
	return r
}

func TestBooksOfAPromotedRelease(t *testing.T) {
	r := newRelease()
	for i, split := range []timeline.Split{
		{Weight: 0, Stable: "a", Canary: "b"}, {Weight: 10, Stable: "a", Canary: "b"},
		{Weight: 10, Stable: "a", Canary: "b"}, {Weight: 100, Stable: "a", Canary: "b"},
		{Weight: 100, Stable: "b", Canary: "b"}, {Weight: 0, Stable: "b", Canary: "b"},
	} {
		r.seeSplit(after(float64(i)), split)
	}
	r.seeStatus(after(6), ended(v1alpha1.TransitionPromoted, v1alpha1.ReasonPromoted))
	if !r.promoted() || r.aborted() || r.loser() != "a" {
		t.Errorf("promoted %t, aborted %t, loser %s", r.promoted(), r.aborted(), r.loser())
	}
	got := r.report(localcluster.TrafficSnapshot{Revisions: map[string]localcluster.RevisionStats{
		"a": {Version: "v1", Requests: 150}, "b": {Version: "v2", Requests: 40}, "c": {Version: "v0"},
	}}, time.Time{})
	want := report.Release{
		Outcome: report.Promoted, Reason: v1alpha1.ReasonPromoted, Message: "because", Revision: "b", Stable: "a",
		Seconds: 6, Weights: []int32{10, 100},
		Requests: map[string]int64{"a": 50, "b": 40}, Failed: map[string]int64{"a": 0, "b": 0},
		Versions: map[string]string{"a": "v1", "b": "v2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBooksOfAnAbortedRelease(t *testing.T) {
	r := newRelease()
	r.seeSplit(after(1), timeline.Split{Weight: 10, Stable: "a", Canary: "b"})
	r.seeStatus(after(3), ended(v1alpha1.TransitionAborted, v1alpha1.ReasonAnalysisFailed))
	r.seeSplit(after(3.5), timeline.Split{Weight: 0, Stable: "a", Canary: "b"})
	r.seeStatus(after(9), ended(v1alpha1.TransitionPromoted, v1alpha1.ReasonPromoted)) // an end is an end
	got := r.report(localcluster.TrafficSnapshot{Revisions: map[string]localcluster.RevisionStats{
		"a": {Version: "v1", Requests: 150}, "b": {Version: "v2", Requests: 40, Injected: 8, Lost: 1},
	}}, after(2))
	if got.Outcome != report.Aborted || got.Seconds != 3.5 || got.Lost != 1 || got.Failed["b"] != 9 {
		t.Errorf("got %+v", got)
	}
	if got.SecondsToRollback == nil || math.Abs(*got.SecondsToRollback-1.5) > 1e-9 {
		t.Errorf("secondsToRollback %v, want 1.5", got.SecondsToRollback)
	}
}

func TestFollows(t *testing.T) {
	for _, c := range []struct {
		share, asked float64
		n            int64
		want         bool
	}{
		{0.1, 0.1, 150, true},
		{0.14, 0.1, 150, true},
		{0.16, 0.1, 150, false},
		{0, 0, 150, true},
		{0.006, 0, 150, false},
		{1, 1, 150, true},
		{0.99, 1, 150, false},
	} {
		if got := follows(c.share, c.asked, c.n); got != c.want {
			t.Errorf("%.3f of %d where %.2f is asked for: %t, want %t", c.share, c.n, c.asked, got, c.want)
		}
	}
}

func TestWelcome(t *testing.T) {
	text := welcome(guide{
		Kubeconfig: "/k", Prometheus: "http://127.0.0.1:1", Logs: "/l", Namespace: "demo", Service: "shop", OperatorPID: 42,
	})
	for _, want := range []string{
		"export KUBECONFIG=/k\n", "http://127.0.0.1:1\n", "/l\n", "kill -9 42\n",
		"kubectl -n demo get rollout shop -w", "rollout: shop, action: Abort",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	var out bytes.Buffer
	d := &director{printer: &timeline.Printer{Out: &out}}
	if quit, err := d.obey(t.Context(), "frobnicate"); quit || err == nil {
		t.Errorf("quit %t, error %v", quit, err)
	}
	if quit, err := d.obey(t.Context(), "quit"); !quit || err != nil {
		t.Errorf("quit %t, error %v", quit, err)
	}
	if _, err := d.obey(t.Context(), "help"); err != nil || !strings.Contains(out.String(), "promote  pass the current step now") {
		t.Errorf("help: %v\n%s", err, out.String())
	}
	if _, err := d.obey(t.Context(), "abort"); err == nil {
		t.Error("abort without a release: no error")
	}
}

func TestPromptStaysBelow(t *testing.T) {
	var out bytes.Buffer
	term := &terminal{out: &out, interactive: true}
	fmt.Fprintln(term, "before")
	p := newPrompt(t.Context(), strings.NewReader("good \n"), term)
	p.ask()
	fmt.Fprintln(term, "a line")
	if want := "before\nsluice> \r\x1b[Ka line\nsluice> "; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if line := <-p.lines; line != "good" {
		t.Errorf("read %q", line)
	}
	if _, open := <-p.lines; open {
		t.Error("more lines than there were")
	}
}

// prometheus answers queries with a result from the given call on.
func prometheus(t *testing.T, from int) *httptest.Server {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if calls == 1 {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		result := "[]"
		if calls >= from && strings.Contains(r.FormValue("query"), `destination_version="v3"`) {
			result = `[{"metric":{},"value":[1,"2"]}]`
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":`+result+`}}`)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestFirstBadSample(t *testing.T) {
	before := time.Now()
	got := firstBadSample(t.Context(), prometheus(t, 4).URL, "v3")
	if got.Before(before.Add(2*askEvery)) || got.After(time.Now()) {
		t.Errorf("asked at %s, began at %s", got, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := firstBadSample(ctx, prometheus(t, math.MaxInt).URL, "v3"); !got.IsZero() {
		t.Errorf("a sample at %s, where there was none", got)
	}
}

func TestPage(t *testing.T) {
	target, err := url.Parse(prometheus(t, 2).URL)
	if err != nil {
		t.Fatal(err)
	}
	handler := pageHandler(target)
	for path, want := range map[string]string{"/": "<!doctype html>", "/api/v1/query": "not ready"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s: %q, want %q in it", path, answer.Body.String(), want)
		}
	}
}

func TestWords(t *testing.T) {
	if got := stepsInWords(); got != "10% → 30% → 60% → 100%" {
		t.Errorf("steps: %s", got)
	}
	if got := percent("0.05"); got != "5" {
		t.Errorf("percent: %s", got)
	}
	service := (&stage{}).service
	service.Version, service.Name, service.Namespace = "v9-errors-20", "shop", "demo"
	rollout, err := service.Rollout()
	if err != nil {
		t.Fatal(err)
	}
	if got := imageTag(rollout); got != "v9-errors-20" {
		t.Errorf("image tag: %s", got)
	}
}
