//go:build !e2e

package localcluster

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// serveHTTPPod serves a pod's HTTP port on loopback and returns where.
func serveHTTPPod(t *testing.T, b Behaviour) (*podServer, string) {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"pod-template-hash": "abc", "app": "app"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Ports: []corev1.ContainerPort{{Name: "http-web", ContainerPort: int32(tcp.Port)}},
		}}},
	}
	server, err := servePod(pod, "127.0.0.1", b, &slowdowns{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	return server, addr
}

// callerOf is an HTTP client of an address, as if a gateway were there.
func callerOf(t *testing.T, addr string, http2 bool) *httpCaller {
	t.Helper()
	c, err := newHTTPCaller(&TrafficOptions{Gateway: &Gateway{addr: addr}, Host: "app.example.com", HTTP2: http2, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestPodsServeHTTP(t *testing.T) {
	_, good := serveHTTPPod(t, Behaviour{Version: "v1"})
	_, bad := serveHTTPPod(t, Behaviour{Version: "v2-errors-100", ErrorRate: 1})
	for _, http2 := range []bool{false, true} {
		o := callerOf(t, good, http2).call(t.Context())
		if o.lost() || o.code != codes.OK || o.pod != "p" || o.revision != "abc" || o.version != "v1" || o.canonicalService != "app" {
			t.Errorf("http2=%t: %+v", http2, o)
		}
		if o.protocol() != "http" || o.httpCode() != "200" || o.grpcStatus() != "" || o.flags() != "-" {
			t.Errorf("http2=%t: telemetry of %+v", http2, o)
		}
		o = callerOf(t, bad, http2).call(t.Context())
		if o.lost() || !o.injected || o.code != codes.Internal || o.httpCode() != "500" || !strings.Contains(o.message, injectedMessage) {
			t.Errorf("http2=%t: injected %+v", http2, o)
		}
	}
}

func TestPodsFinishHTTPRequestsInFlight(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		server, addr := serveHTTPPod(t, Behaviour{Version: "v1", Latency: 300 * time.Millisecond})
		begun, app := make(chan struct{}, 2), server.http.Handler
		server.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			app.ServeHTTP(w, r)
		})
		c := callerOf(t, addr, http2)
		if o := c.call(t.Context()); o.lost() {
			t.Fatalf("http2=%t: %+v", http2, o)
		}
		<-begun
		answered := make(chan outcome)
		go func() { answered <- c.call(t.Context()) }()
		<-begun
		server.drain(10 * time.Second)
		if o := <-answered; o.lost() {
			t.Errorf("http2=%t: %+v", http2, o)
		}
		if o := c.call(t.Context()); !o.lost() || o.reached || o.code != codes.Unavailable {
			t.Errorf("http2=%t: after the drain %+v", http2, o)
		}
	}
}

// A request that a server may have seen must not be sent again: it is lost.
func TestHTTPCallerSendsNothingTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var seen atomic.Int32
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if seen.Add(1) == 1 {
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	c := callerOf(t, l.Addr().String(), false)
	if o := c.call(t.Context()); o.code != codes.OK || o.reached {
		t.Errorf("an answer from no pod: %+v", o)
	}
	if o := c.call(t.Context()); !o.lost() || o.revision != UnknownRevision {
		t.Errorf("on a connection that broke: %+v", o)
	}
	if n := seen.Load(); n != 2 {
		t.Errorf("%d requests were sent, want 2", n)
	}
}

func TestCodeOf(t *testing.T) {
	for status, want := range map[int]codes.Code{
		200: codes.OK, 204: codes.OK, 404: codes.Unimplemented, 500: codes.Internal, 502: codes.Unavailable,
		503: codes.Unavailable, 504: codes.DeadlineExceeded, 429: codes.Unknown,
	} {
		if got := codeOf(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

func TestEnvoyBootstrap(t *testing.T) {
	content, err := envoyBootstrap("127.0.0.1:20004", "127.0.0.1:20008", "10.244.0.2")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Node struct {
			ID       string `json:"id"`
			Metadata struct {
				Labels map[string]string `json:"LABELS"`
			} `json:"metadata"`
		} `json:"node"`
		Admin struct {
			Address struct {
				SocketAddress struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"address"`
		} `json:"admin"`
	}
	if err := yaml.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if want := "router~10.244.0.2~istio-ingressgateway.istio-system~istio-system.svc.cluster.local"; got.Node.ID != want {
		t.Errorf("node %q, want %q", got.Node.ID, want)
	}
	if got.Node.Metadata.Labels["istio"] != "ingressgateway" || got.Admin.Address.SocketAddress.Port != 20008 {
		t.Errorf("got %+v", got)
	}
	for _, addrs := range [][2]string{{"nowhere", "127.0.0.1:1"}, {"127.0.0.1:1", "nowhere"}} {
		if _, err := envoyBootstrap(addrs[0], addrs[1], "10.244.0.2"); err == nil {
			t.Errorf("%v: no error", addrs)
		}
	}
}

// What Envoy refused must never pass for nothing: not for want of statistics either.
func TestRejected(t *testing.T) {
	content, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats" || r.URL.Query().Get("filter") != "update_rejected" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, content)
	}))
	defer server.Close()
	g := &Gateway{admin: strings.TrimPrefix(server.URL, "http://")}
	for _, c := range []struct {
		name, content string
		status        int
		want          []string
		fails         bool
	}{
		{"nothing", "lds.update_rejected: 0\ncds.update_rejected: 0\n", http.StatusOK, nil, false},
		{"one", "lds.update_rejected: 10\ncds.update_rejected: 0\n", http.StatusOK, []string{"lds.update_rejected: 10"}, false},
		{"no statistics", "", http.StatusOK, nil, true},
		{"an error", "lds.update_rejected: 0\n", http.StatusServiceUnavailable, nil, true},
	} {
		content, status = c.content, c.status
		got, err := g.Rejected(t.Context())
		if !slices.Equal(got, c.want) || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}
