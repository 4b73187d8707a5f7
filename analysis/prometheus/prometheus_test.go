package prometheus

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/sluice-dev/sluice/analysis"
)

const canary = "canary-7d1f"

var at = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

func provider(t *testing.T, e analysis.Endpoint, o Options) *Provider {
	t.Helper()
	o.AllowLoopback = true
	p, err := New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func ask(t *testing.T, p *Provider) (analysis.Sample, error) {
	t.Helper()
	return p.Query(t.Context(), analysis.Query{Expr: "up", At: at, Timeout: 5 * time.Second})
}

func success(resultType, result string) string {
	return fmt.Sprintf(`{"status":"success","data":{"resultType":%q,"result":%s}}`, resultType, result)
}

func TestAnswers(t *testing.T) {
	vector := func(values ...string) string {
		var b []string
		for i, v := range values {
			b = append(b, fmt.Sprintf(`{"metric":{"pod":"p%d"},"value":[1772366400,%q]}`, i, v))
		}
		return success("vector", "["+strings.Join(b, ",")+"]")
	}
	for _, tc := range []struct {
		name, body string
		status     int
		want       []float64
		warnings   int
		reason     analysis.Reason
	}{
		{name: "vector", body: vector("0.25"), want: []float64{0.25}},
		{name: "several", body: vector("1", "2"), want: []float64{1, 2}},
		{name: "scalar", body: success("scalar", `[1772366400,"3"]`), want: []float64{3}},
		{name: "empty", body: success("vector", `[]`), want: []float64{}},
		{name: "null", body: success("vector", `null`), want: []float64{}},
		{name: "NaN", body: vector("NaN"), want: []float64{math.NaN()}},
		{name: "infinite", body: vector("+Inf", "-Inf"), want: []float64{math.Inf(1), math.Inf(-1)}},
		{name: "warnings", body: strings.Replace(vector("1"), "{", `{"warnings":["partial"],`, 1), want: []float64{1}, warnings: 1},
		{name: "infos are no warnings", body: strings.Replace(vector("1"), "{", `{"infos":["name"],`, 1), want: []float64{1}},
		{name: "matrix", body: success("matrix", `[{"metric":{},"values":[[1,"2"]]}]`), reason: analysis.ReasonMalformed},
		{name: "string", body: success("string", `[1,"`+canary+`"]`), reason: analysis.ReasonMalformed},
		{name: "histogram", body: success("vector", `[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}]`), reason: analysis.ReasonMalformed},
		{name: "html", body: "<html>" + canary + "</html>", reason: analysis.ReasonMalformed},
		{name: "not a number", body: vector(canary), reason: analysis.ReasonMalformed},
		{name: "nothing", body: "", reason: analysis.ReasonMalformed},
		{name: "error with 200", body: `{"status":"error","errorType":"bad_data","error":"` + canary + `"}`, reason: analysis.ReasonMalformed},
		{name: "bad data", status: 400, body: `{"status":"error","errorType":"bad_data","error":"` + canary + `"}`, reason: analysis.ReasonRefused},
		{name: "not found", status: 404, body: canary, reason: analysis.ReasonRefused},
		{name: "too many", status: 429, body: canary, reason: analysis.ReasonRefused},
		{name: "execution", status: 422, body: `{"status":"error","errorType":"execution","error":"` + canary + `"}`, reason: analysis.ReasonRefused},
		{name: "unauthorized", status: 401, body: canary, reason: analysis.ReasonUnauthorized},
		{name: "forbidden", status: 403, body: canary, reason: analysis.ReasonUnauthorized},
		{name: "server timeout", status: 503, body: `{"status":"error","errorType":"timeout","error":"` + canary + `"}`, reason: analysis.ReasonTimeout},
		{name: "gateway timeout", status: 504, body: canary, reason: analysis.ReasonTimeout},
		{name: "unavailable", status: 503, body: canary, reason: analysis.ReasonUnavailable},
		{name: "internal", status: 500, body: canary, reason: analysis.ReasonUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.status != 0 {
					w.WriteHeader(tc.status)
				}
				_, _ = io.WriteString(w, tc.body)
			})
			s, err := ask(t, provider(t, analysis.Endpoint{Address: address, Bearer: canary}, Options{}))
			if tc.reason != "" {
				wantReason(t, err, tc.reason)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Series) != len(tc.want) || len(s.Warnings) != tc.warnings {
				t.Fatalf("got %+v", s)
			}
			for i, v := range tc.want {
				if got := s.Series[i].Value; got != v && !(math.IsNaN(got) && math.IsNaN(v)) {
					t.Errorf("value %d is %v, want %v", i, got, v)
				}
			}
		})
	}
}

// wantReason wants an error that is nothing but a reason.
func wantReason(t *testing.T, err error, reason analysis.Reason) {
	t.Helper()
	var e *analysis.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Fatalf("error %v, want %s", err, reason)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, canary) {
		t.Errorf("the error tells what the server sent: %s", text)
	}
	if errors.Unwrap(err) != nil {
		t.Errorf("the error wraps %v", errors.Unwrap(err))
	}
}

func TestRequest(t *testing.T) {
	var method, auth, path string
	var form map[string][]string
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		method, auth, path, form = r.Method, r.Header.Get("Authorization"), r.URL.Path, r.Form
		_, _ = io.WriteString(w, success("scalar", `[1,"3"]`))
	})
	q := analysis.Query{Expr: `up{a="b"}`, At: at, Lookback: 4*time.Minute + 59*time.Second + 123*time.Millisecond, Timeout: 2500 * time.Millisecond}
	p := provider(t, analysis.Endpoint{Address: address + "/prefix/", Username: "u", Password: "p"}, Options{})
	if _, err := p.Query(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if method != http.MethodPost || path != "/prefix/api/v1/query" || auth != "Basic dTpw" {
		t.Errorf("asked with %s %s %q", method, path, auth)
	}
	if form["query"][0] != q.Expr || form["time"][0] != "1772366400.123" {
		t.Errorf("asked for %v", form)
	}
	for name, want := range map[string]time.Duration{"timeout": 2 * time.Second, "lookback_delta": 299 * time.Second} {
		if d, err := model.ParseDuration(form[name][0]); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %q, want %s", name, form[name][0], want)
		}
	}
}

func TestGetWherePostIsNotAllowed(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+canary {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, success("scalar", `[1,"3"]`))
	})
	s, err := ask(t, provider(t, analysis.Endpoint{Address: address, Bearer: canary}, Options{}))
	if err != nil || s.Series[0].Value != 3 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestRedirectsAndProxiesAreNotFollowed(t *testing.T) {
	var asked atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	t.Setenv("HTTP_PROXY", other)
	t.Setenv("ALL_PROXY", other)
	for _, status := range []int{301, 302, 303, 307, 308} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/"+canary, status) })
		_, err := ask(t, provider(t, analysis.Endpoint{Address: address, Bearer: canary}, Options{}))
		wantReason(t, err, analysis.ReasonRedirected)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	huge := func(w io.Writer) {
		block := bytes.Repeat([]byte(" "), 1<<16)
		for range 1 << 14 { // 1 GiB
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"plain": func(w http.ResponseWriter, _ *http.Request) { huge(w) },
		"gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			huge(z)
			_ = z.Close()
		},
	} {
		_, err := ask(t, provider(t, analysis.Endpoint{Address: serve(t, h)}, Options{}))
		if !analysis.IsTooLarge(err) {
			t.Errorf("%s: error %v, want %s", name, err, analysis.ReasonTooLarge)
		}
	}
	body := success("scalar", `[1,"3"]`)
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	if _, err := ask(t, provider(t, analysis.Endpoint{Address: address}, Options{MaxBody: int64(len(body))})); err != nil {
		t.Errorf("a body at the limit: %v", err)
	}
	if _, err := ask(t, provider(t, analysis.Endpoint{Address: address}, Options{MaxBody: int64(len(body)) - 1})); !analysis.IsTooLarge(err) {
		t.Errorf("a body above the limit: %v", err)
	}
}

func TestTimeIsBounded(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"status":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		release := make(chan struct{})
		p := provider(t, analysis.Endpoint{Address: serve(t, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go func() {
				select {
				case <-release:
					cancel()
				case <-ctx.Done():
				}
			}()
			_, _ = io.Copy(io.Discard, r.Body)
			h(w, r.WithContext(ctx))
		})}, Options{})
		_, err := p.Query(t.Context(), analysis.Query{Expr: "up", At: at, Timeout: 20 * time.Millisecond})
		close(release)
		if !analysis.IsTimeout(err) {
			t.Errorf("%s: error %v, want %s", name, err, analysis.ReasonTimeout)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := provider(t, analysis.Endpoint{Address: serve(t, func(http.ResponseWriter, *http.Request) { cancel() })}, Options{})
	if _, err := p.Query(ctx, analysis.Query{Expr: "up", At: at}); err == nil {
		t.Error("no error")
	}
	if _, err := p.Query(ctx, analysis.Query{Expr: "up", At: at}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, success("scalar", `[1,"3"]`))
	}))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if _, err := ask(t, provider(t, analysis.Endpoint{Address: s.URL, CA: ca}, Options{})); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	_, err := ask(t, provider(t, analysis.Endpoint{Address: s.URL}, Options{}))
	wantReason(t, err, analysis.ReasonUnavailable)

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Certificate().Raw})
	_, err = ask(t, provider(t, analysis.Endpoint{Address: old.URL, CA: ca}, Options{}))
	wantReason(t, err, analysis.ReasonUnavailable)
}

func TestNewRefuses(t *testing.T) {
	for _, e := range []analysis.Endpoint{
		{}, {Address: "ftp://x"}, {Address: "http://"}, {Address: "http://u:p@x"}, {Address: "http://x?a=b"},
		{Address: "http://x#f"}, {Address: "http://x y"}, {Address: "unix:///x"}, {Address: "https://x", CA: []byte(canary)},
	} {
		_, err := New(e, Options{})
		wantReason(t, err, analysis.ReasonProviderInvalid)
		if p, err := Opener(Options{})(e); p != nil || err == nil {
			t.Errorf("%s: the opener gives %v, %v", e.Address, p, err)
		}
	}
}

func TestNamesAreCheckedAfterResolution(t *testing.T) {
	var asked atomic.Int32
	address := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, a := range []string{address, strings.Replace(address, "127.0.0.1", "localhost", 1), strings.Replace(address, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		p, err := New(analysis.Endpoint{Address: a}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = ask(t, p)
		wantReason(t, err, analysis.ReasonAddressRefused)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var addresses = map[string]bool{}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		addresses[r.RemoteAddr] = true
		_, _ = io.WriteString(w, success("scalar", `[1,"3"]`))
	})
	p := provider(t, analysis.Endpoint{Address: address}, Options{})
	for range 20 {
		if _, err := ask(t, p); err != nil {
			t.Fatal(err)
		}
	}
	if len(addresses) != 1 {
		t.Errorf("20 queries took %d connections", len(addresses))
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := ask(t, provider(t, analysis.Endpoint{Address: s.URL}, Options{}))
	wantReason(t, err, analysis.ReasonUnavailable)
}

func TestReadRaw(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		points int
		reason analysis.Reason
	}{
		"samples":    {success("matrix", `[{"metric":{"pod":"p"},"values":[[1772366400,"1"],[1772366415.5,"3"]]}]`), 2, ""},
		"no data":    {success("matrix", `[]`), 0, ""},
		"a vector":   {success("vector", `[]`), 0, analysis.ReasonMalformed},
		"histograms": {success("matrix", `[{"metric":{},"histograms":[[1772366400,{"count":"1","sum":"1"}]]}]`), 0, analysis.ReasonNativeHistogram},
		"too large":  {success("matrix", `[{"metric":{"a":"`+strings.Repeat("a", 5000)+`"},"values":[]}]`), 0, analysis.ReasonTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tc.answer) })
			p := provider(t, analysis.Endpoint{Address: url}, Options{MaxBody: 1000})
			m, err := p.ReadRaw(t.Context(), analysis.Query{Expr: "a[1m]", At: at, Timeout: time.Second})
			if tc.reason != "" {
				if err == nil || analysis.ReasonOf(err) != tc.reason {
					t.Fatalf("got %v, %v, want %s", m, err, tc.reason)
				}
				return
			}
			points := 0
			for _, s := range m.Series {
				points += len(s.Points)
			}
			if err != nil || points != tc.points {
				t.Errorf("got %+v, %v", m, err)
			}
			if points > 1 && m.Series[0].Points[1] != (analysis.Point{At: 1772366415500, Value: 3}) {
				t.Errorf("got %+v", m)
			}
		})
	}
}
