//go:build !e2e

package localcluster

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func TestTrafficStats(t *testing.T) {
	start := time.Unix(1000, 0)
	stats := newTrafficStats(4)
	call := func(second int, revision string, code codes.Code, injected bool) {
		stats.add(outcome{
			at: start.Add(time.Duration(second) * time.Second), took: 2 * time.Millisecond,
			revision: revision, version: "v-" + revision, code: code, injected: injected,
		})
	}
	call(1, "a", codes.OK, false)
	call(2, "a", codes.OK, false)
	call(3, "b", codes.Internal, true)
	call(4, "b", codes.Internal, false)
	call(5, UnknownRevision, codes.Unavailable, false)
	call(6, "a", codes.OK, false)

	s := stats.snapshot(start)
	if b := s.Revisions["b"]; b.Requests != 2 || b.Injected != 1 || b.Lost != 1 || b.Failed() != 2 {
		t.Errorf("b: %+v", b)
	}
	if s.Lost() != 2 || s.Total().Requests != 6 || s.ByVersion("v-a").Requests != 3 {
		t.Errorf("total: %+v", s.Total())
	}
	if a := s.Revisions["a"]; a.Mean() != 2*time.Millisecond || a.Buckets[2] != 3 {
		t.Errorf("latency of a: %v %v", a.Mean(), a.Buckets)
	}
	w := stats.window(start.Add(2*time.Second), start.Add(5*time.Second))
	if w.Requests != 3 || w.Failed != 3 || w.Truncated || w.Share("b") < 0.66 || w.Share("a") != 0 {
		t.Errorf("window: %+v", w)
	}
	if w := stats.window(start, start.Add(9*time.Second)); !w.Truncated || w.Requests != 4 {
		t.Errorf("a window beyond memory: %+v", w)
	}
}

func TestIdentify(t *testing.T) {
	var o outcome
	o.code = codes.Unavailable
	o.identify(firstOf(nil))
	if o.reached || !o.lost() || o.workload != UnknownRevision || o.httpCode() != "503" || o.flags() != "UF" {
		t.Errorf("nobody answered: %+v", o)
	}
	o = outcome{code: codes.Internal}
	o.identify(firstOf(metadata.Pairs(TrailerPod, "p", TrailerRevision, "r", TrailerInjected, "true")))
	if !o.reached || o.lost() || o.revision != "r" || o.httpCode() != "200" || o.flags() != "-" {
		t.Errorf("injected: %+v", o)
	}
}

func TestPacer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := newPacer(0)
	done := make(chan struct{})
	go func() {
		p.run(ctx)
		close(done)
	}()
	started := time.Now()
	p.set(1000)
	for range 100 {
		if !p.wait(ctx) {
			t.Fatal("no permit")
		}
	}
	if took := time.Since(started); took < 95*time.Millisecond {
		t.Errorf("100 permits at 1000/s in %s", took)
	}
	cancel()
	<-done
	if p.wait(ctx) {
		t.Error("a permit after the end")
	}
}
