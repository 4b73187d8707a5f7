package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// metricServer answers queries as Prometheus would: 0 for every Rollout, and 1 for
// those that were told to be bad. Those that an alert is to be about it has as metrics.
type metricServer struct {
	server   *http.Server
	listener net.Listener

	mu     sync.Mutex
	bad    map[string]bool
	served map[string]time.Time // when 1 was first served
	alerts map[string]string    // revisions by Rollout
}

// subject finds the Rollout in a query.
var subject = regexp.MustCompile(`rollout="([^"]+)"`)

// badQuery is what the Rollouts here ask.
const badQuery = `bench_bad{rollout="{{rollout}}"}`

func startMetricServer() (*metricServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for queries: %w", err)
	}
	m := &metricServer{listener: listener, bad: map[string]bool{}, served: map[string]time.Time{}, alerts: map[string]string{}}
	m.server = &http.Server{Handler: http.HandlerFunc(m.answer), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

func (m *metricServer) url() string { return "http://" + m.listener.Addr().String() }

func (m *metricServer) close() error {
	if err := m.server.Close(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (m *metricServer) answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		m.expose(w)
		return
	}
	name := subject.FindStringSubmatch(r.FormValue("query"))
	if r.URL.Path != "/api/v1/query" || name == nil {
		http.Error(w, "unknown query", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	value := "0"
	if m.ask(name[1]) {
		value = "1"
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[%d,%q]}]}}`,
		time.Now().Unix(), value)
}

// expose writes the metrics that Prometheus reads.
func (m *metricServer) expose(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, revision := range m.alerts {
		_, _ = fmt.Fprintf(w, "bench_bad{rollout=%q,revision=%q,destination_workload_namespace=%q} 1\n", name, revision, namespace)
	}
}

// alert has an alert fire about a revision of a Rollout.
func (m *metricServer) alert(rollout, revision string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alerts[rollout] = revision
}

// ask counts a query and tells whether it is to be answered badly.
func (m *metricServer) ask(rollout string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bad[rollout] {
		return false
	}
	if m.served[rollout].IsZero() {
		m.served[rollout] = time.Now()
	}
	return true
}

// turnBad has every query of a Rollout answered badly from now on.
func (m *metricServer) turnBad(rollout string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad[rollout] = true
}

// servedAt is when a Rollout was first answered badly.
func (m *metricServer) servedAt(rollout string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.served[rollout]
}
