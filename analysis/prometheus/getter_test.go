package prometheus

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/internal/egress"
)

// TestGetter holds that other paths of a server are read by the rules for queries.
func TestGetter(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/api/v2/alerts":
			_, _ = w.Write([]byte(r.Method + " " + r.URL.RawQuery + " " + r.Header.Get("Accept")))
		case "/base/elsewhere":
			http.Redirect(w, r, "/base/api/v2/alerts", http.StatusFound)
		case "/base/large":
			_, _ = w.Write(make([]byte, 1001))
		default:
			http.Error(w, canary, http.StatusInternalServerError)
		}
	})
	g, err := NewGetter(analysis.Endpoint{Address: address + "/base"}, Options{Options: egress.Options{AllowLoopback: true}, MaxBody: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	body, err := g.Get(t.Context(), "/api/v2/alerts", url.Values{"active": {"true"}})
	if want := "GET active=true application/json"; string(body) != want || err != nil {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
	for path, want := range map[string]analysis.Reason{
		"/elsewhere": analysis.ReasonRedirected, "/large": analysis.ReasonTooLarge, "/broken": analysis.ReasonUnavailable,
	} {
		_, err := g.Get(t.Context(), path, nil)
		if analysis.ReasonOf(err) != want || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Get(ended, "/api/v2/alerts", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := NewGetter(analysis.Endpoint{Address: "file:///etc/passwd"}, Options{}); analysis.ReasonOf(err) != analysis.ReasonProviderInvalid {
		t.Errorf("a file: %v", err)
	}
}
