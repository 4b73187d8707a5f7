package plan

import (
	"fmt"

	"github.com/sluice-dev/sluice/trafficrouting"
)

// planRetreat takes traffic back from a canary that is not to have any, over what
// there is of a routing that has a problem: one VirtualService of two that is gone
// must not keep an abort from the other. Nothing else is moved then.
func (d *decision) planRetreat() {
	state := d.o.Routing.State
	released := d.p.releasing() && (state.Canary == d.p.Canary || state.Canary == "")
	if d.p.Stable == "" || released || state.MaxWeight == 0 || state.Canary == d.p.Stable {
		return
	}
	weight := d.bearable(0, state.Stable)
	if weight > state.MinWeight || state.Uniform(weight) {
		return // There is nothing to lower, or one weight for all routes would raise some.
	}
	d.plan.Split = &trafficrouting.Split{Stable: state.Stable, Canary: state.Canary, Weight: weight}
	d.note("routing", fmt.Sprintf("weight %d%% wherever it can be written", weight))
}
