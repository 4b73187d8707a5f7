package notify

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/analysis"
	"github.com/sluice-dev/sluice/internal/egress"
)

const canary = "canary-secret-7d1f"

var loopback = HTTP{Egress: egress.Options{AllowLoopback: true}}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func message() Message {
	return Message{ContentType: "application/json", Body: []byte(`{"text":"hello"}`)}
}

// to is a target with secrets everywhere.
func to(address string) Target {
	return Target{Address: analysis.Secret(address + "/" + canary + "?token=" + canary), Bearer: canary}
}

func TestPost(t *testing.T) {
	var got *http.Request
	var body []byte
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	if err := loopback.Post(t.Context(), to(address), message()); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/"+canary+"?token="+canary || string(body) != `{"text":"hello"}` ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Authorization") != "Bearer "+canary || got.Header.Get("User-Agent") != "sluice" {
		t.Errorf("the server got %s %s %v %s", got.Method, got.URL, got.Header, body)
	}
	if err := loopback.Post(t.Context(), Target{Address: analysis.Secret(address)}, message()); err != nil || got.Header.Get("Authorization") != "" {
		t.Errorf("without a token the server got %v, %v", got.Header, err)
	}
}

func TestAnswers(t *testing.T) {
	var elsewhere atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, tc := range []struct {
		status  int
		header  [2]string
		want    Reason
		passing bool
		after   time.Duration
	}{
		{status: 400, want: ReasonRefused},
		{status: 404, want: ReasonRefused},
		{status: 410, want: ReasonRefused},
		{status: 401, want: ReasonUnauthorized},
		{status: 403, want: ReasonUnauthorized},
		{status: 408, want: ReasonTimeout, passing: true},
		{status: 429, want: ReasonRateLimited, passing: true},
		{status: 429, header: [2]string{"Retry-After", "30"}, want: ReasonRateLimited, passing: true, after: 30 * time.Second},
		{status: 429, header: [2]string{"Retry-After", "2147483647"}, want: ReasonRateLimited, passing: true, after: maxRetryAfter},
		{status: 429, header: [2]string{"Retry-After", "99999999999999999999"}, want: ReasonRateLimited, passing: true},
		{status: 429, header: [2]string{"Retry-After", "-5"}, want: ReasonRateLimited, passing: true},
		{status: 429, header: [2]string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}, want: ReasonRateLimited, passing: true, after: maxRetryAfter},
		{status: 429, header: [2]string{"Retry-After", canary}, want: ReasonRateLimited, passing: true},
		{status: 500, want: ReasonUnavailable, passing: true},
		{status: 503, header: [2]string{"Retry-After", "7"}, want: ReasonUnavailable, passing: true, after: 7 * time.Second},
		{status: 504, want: ReasonTimeout, passing: true},
		{status: 302, header: [2]string{"Location", other}, want: ReasonRedirected},
		{status: 307, header: [2]string{"Location", other}, want: ReasonRedirected},
		{status: 308, header: [2]string{"Location", "http://" + canary}, want: ReasonRedirected},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if tc.header[0] != "" {
				w.Header().Set(tc.header[0], tc.header[1])
			}
			w.Header().Set("X-Secret", canary)
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, canary)
		})
		err := loopback.Post(t.Context(), to(address), message())
		wantReason(t, err, tc.want)
		if IsPassing(err) != tc.passing || retryAfterOf(err) != tc.after {
			t.Errorf("%d %v: passing %v, after %s", tc.status, tc.header, IsPassing(err), retryAfterOf(err))
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// wantReason holds the reason of an error, and that nothing of a secret is in it.
func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	if ReasonOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if strings.Contains(fmt.Sprintf(format, err), canary) {
			t.Errorf("the error tells a secret: "+format, err)
		}
	}
}

func TestEndlessBodyIsNotRead(t *testing.T) {
	ended := make(chan struct{})
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		chunk := make([]byte, 1<<20)
		for range 10 << 10 { // 10 GB
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		t.Error("10 GB were read")
	})
	if err := loopback.Post(t.Context(), to(address), message()); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the connection is still open")
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Secret", strings.Repeat(canary, 1<<16))
	})
	wantReason(t, loopback.Post(t.Context(), to(address), message()), ReasonUnavailable)
}

func TestStalledServerTimesOut(t *testing.T) {
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees that a client left when it has read all
		<-r.Context().Done()
	})
	hasty := loopback
	hasty.Timeout = 20 * time.Millisecond
	wantReason(t, hasty.Post(t.Context(), to(address), message()), ReasonTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := loopback.Post(ctx, to(address), message()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnreachableServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	wantReason(t, loopback.Post(t.Context(), to(s.URL), message()), ReasonUnavailable)
}

func TestAddressesAreCheckedAfterResolution(t *testing.T) {
	var asked atomic.Int32
	address := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, a := range []string{address, strings.Replace(address, "127.0.0.1", "localhost", 1), "http://169.254.169.254"} {
		wantReason(t, HTTP{}.Post(t.Context(), to(a), message()), ReasonAddressRefused)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestTargets(t *testing.T) {
	for _, address := range []string{"", "hooks.example.com", "ftp://a/" + canary, "http://", "https:///" + canary, "http://a b", "http://%zz/" + canary, "file:///etc/passwd"} {
		wantReason(t, Target{Address: analysis.Secret(address)}.Check(), ReasonAddressInvalid)
		wantReason(t, loopback.Post(t.Context(), Target{Address: analysis.Secret(address)}, message()), ReasonAddressInvalid)
	}
	wantReason(t, Target{Address: "http://a", CA: []byte(canary)}.Check(), ReasonAuthorityInvalid)
	target := to("https://hooks.example.com")
	if err := target.Check(); err != nil {
		t.Error(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", target, target, target); strings.Contains(text, canary) {
		t.Errorf("a target tells a secret: %s", text)
	}
}

func TestAuthorities(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := loopback.Post(t.Context(), Target{Address: analysis.Secret(s.URL), CA: ca}, message()); err != nil {
		t.Error(err)
	}
	wantReason(t, loopback.Post(t.Context(), Target{Address: analysis.Secret(s.URL)}, message()), ReasonUnavailable)
}
