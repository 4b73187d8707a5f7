package soak_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/soak"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

func TestScript(t *testing.T) {
	for _, n := range []int{1, 8, 50, 200} {
		for seed := range uint64(20) {
			rounds := soak.Script(seed, n)
			if !reflect.DeepEqual(rounds, soak.Script(seed, n)) {
				t.Fatalf("seed %d: two scripts", seed)
			}
			count, versions := map[soak.End]int{}, map[string]bool{}
			for _, r := range rounds {
				count[r.End]++
				versions[r.Version] = true
				check(t, r)
			}
			if len(rounds) != n || len(versions) != n {
				t.Errorf("seed %d: %d rounds of %d versions, want %d", seed, len(rounds), len(versions), n)
			}
			if aborted := count[soak.Aborted] + count[soak.Condemned]; aborted != n/4 || count[soak.Superseded] != n/4 {
				t.Errorf("seed %d: of %d rounds %d are aborted and %d superseded", seed, n, aborted, count[soak.Superseded])
			}
			if d := count[soak.Aborted] - count[soak.Condemned]; d < 0 || d > 1 {
				t.Errorf("seed %d: aborted by command %d, by analysis %d", seed, count[soak.Aborted], count[soak.Condemned])
			}
			if last := rounds[n-1]; last.End != soak.Promoted {
				t.Errorf("seed %d: the last round is %s", seed, last)
			}
		}
	}
	if reflect.DeepEqual(soak.Script(1, 50), soak.Script(2, 50)) {
		t.Error("two seeds give the same script")
	}
}

// check asserts that a round can be played.
func check(t *testing.T, r soak.Round) {
	t.Helper()
	b, err := localcluster.ParseDemoTag(r.Version)
	if err != nil || (b.ErrorRate > 0) != (r.End == soak.Condemned) {
		t.Errorf("%s: %+v, %v", r, b, err)
	}
	if r.Start < 0 || r.Start > 1500*time.Millisecond || r.Drain < time.Second || r.Drain > 2500*time.Millisecond {
		t.Errorf("%s: nobody has the time", r)
	}
	ends := r.End == soak.Aborted || r.End == soak.Superseded
	if ends != (r.EndAt != soak.Never) || r.EndAt > soak.Second {
		t.Errorf("%s: ends at %d", r, r.EndAt)
	}
	last := soak.Promoting
	switch {
	case ends:
		last = r.EndAt
	case r.End == soak.Condemned:
		last = soak.Starting
	}
	if r.ScaleAt > last || r.RestartAt > last {
		t.Errorf("%s: what comes after the end never comes", r)
	}
	if (r.Replicas > 0) != (r.ScaleAt != soak.Never) || (r.Restart != "") != (r.RestartAt != soak.Never) {
		t.Errorf("%s: half told", r)
	}
}
