//go:build !e2e

package localcluster

import (
	"testing"
	"time"
)

func TestSlowDown(t *testing.T) {
	var s slowdowns
	if got := s.draw("a"); got != 0 {
		t.Errorf("without one: %s", got)
	}
	s.set("a", slowdown{time.Second, 0.25})
	slow := 0
	for range 10_000 {
		switch s.draw("a") {
		case time.Second:
			slow++
		case 0:
		default:
			t.Fatal("by another time")
		}
	}
	if slow < 2200 || slow > 2800 {
		t.Errorf("%d of 10000 are slow, about 2500 expected", slow)
	}
	if got := s.draw("b"); got != 0 {
		t.Errorf("another namespace: %s", got)
	}
	s.set("a", slowdown{})
	if got := s.draw("a"); got != 0 {
		t.Errorf("after it ended: %s", got)
	}
}
