package plan

import (
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestMain tries more than rapid does by default; -rapid.checks says how much.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "400"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestInvariants drives random worlds and asserts what must always hold on every
// plan and after every write, and that rest is reached once the faults end. More of
// it: go test -run TestInvariants -rapid.checks 100000 -rapid.steps 60
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		m.work(t)
		m.livesOn(t)
	})
}

// TestInvariantsAfterAPromotion does the same to a revision that is watched after its
// promotion.
func TestInvariantsAfterAPromotion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		m.promoteFirst()
		m.bad["b"] = m.spec.Analysed && rapid.Bool().Draw(t, "b is bad")
		m.livesOn(t)
	})
}
