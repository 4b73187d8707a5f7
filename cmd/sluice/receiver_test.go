package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/onsi/gomega"

	"github.com/sluice-dev/sluice/internal/notify"
)

// alertmanager is what is read of an Alertmanager: the alerts that fire.
type alertmanager struct {
	address string

	mu     sync.Mutex
	firing []map[string]any
}

func (w *cluster) alertmanager() *alertmanager {
	a := &alertmanager{firing: []map[string]any{}}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(rw).Encode(a.firing); err != nil {
			panic(err)
		}
	}))
	w.t.Cleanup(s.Close)
	a.address = s.URL
	return a
}

// fire has an alert about a revision fire from now on.
func (a *alertmanager) fire(name, revision string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.firing = append(a.firing, map[string]any{
		"labels":   map[string]string{"alertname": name, "destination_canonical_revision": revision},
		"startsAt": now, "endsAt": now.Add(time.Hour), "fingerprint": fmt.Sprintf("%016x", len(a.firing)+1),
		"status": map[string]any{"state": "active", "silencedBy": []string{}, "inhibitedBy": []string{}},
	})
}

// receiver is a server that is told.
type receiver struct {
	address string
	held    chan struct{}

	mu       sync.Mutex
	requests []*http.Request
	bodies   [][]byte
	answers  int
}

func (w *cluster) receive(status int) *receiver {
	r := &receiver{held: make(chan struct{})}
	close(r.held)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.requests, r.bodies = append(r.requests, req), append(r.bodies, body)
		held := r.held
		r.mu.Unlock()
		select {
		case <-held:
		case <-req.Context().Done():
			return
		}
		rw.WriteHeader(status)
		r.mu.Lock()
		r.answers++
		r.mu.Unlock()
	}))
	w.t.Cleanup(s.Close)
	r.address = s.URL
	return r
}

// nowhere returns an address at which nothing listens.
func (w *cluster) nowhere() string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(l.Close()).To(gomega.Succeed())
	return "http://" + l.Addr().String()
}

// hold keeps the receiver from answering until release is called.
func (r *receiver) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
	return sync.OnceFunc(func() { close(r.held) })
}

func (r *receiver) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers
}

func (r *receiver) last() *http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[len(r.requests)-1]
}

// decode reads all bodies as one type.
func decode[T any](r *receiver) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]T, len(r.bodies))
	for i, body := range r.bodies {
		if err := json.Unmarshal(body, &all[i]); err != nil {
			panic(err)
		}
	}
	return all
}

// texts are Slack's.
func (r *receiver) texts() []string {
	var all []string
	for _, m := range decode[struct{ Text string }](r) {
		all = append(all, m.Text)
	}
	return all
}

// cards are the texts of Adaptive Cards.
func (r *receiver) cards() []string {
	type card struct {
		Attachments []struct {
			Content struct {
				Body []struct{ Inlines []struct{ Text string } }
			}
		}
	}
	var all []string
	for _, c := range decode[card](r) {
		all = append(all, c.Attachments[0].Content.Body[0].Inlines[0].Text)
	}
	return all
}

// envelope is a CloudEvent, or what a webhook gets.
type envelope struct {
	notify.Payload
	Source string
	Data   *notify.Payload
}

func (r *receiver) envelopes() []envelope { return decode[envelope](r) }

func (r *receiver) payloads() []notify.Payload {
	var all []notify.Payload
	for _, e := range r.envelopes() {
		if e.Data != nil {
			all = append(all, *e.Data)
		} else {
			all = append(all, e.Payload)
		}
	}
	return all
}

func (r *receiver) types() []string {
	var all []string
	for _, p := range r.payloads() {
		all = append(all, p.Type)
	}
	return all
}

// typesOf are those of one Rollout.
func (r *receiver) typesOf(rollout string) []string {
	var all []string
	for _, p := range r.payloads() {
		if p.Rollout == rollout {
			all = append(all, p.Type)
		}
	}
	return all
}
