package sequential

import "math"

// exponent is the largest power, at most 1, that a likelihood ratio may be raised to
// when bad requests come in bursts.
//
// Bursts are modelled as what they are: events that each make several requests of
// one arm bad. Let dispersion be the ratio of variance to mean that they cause. The
// widest tail that goes with a dispersion in this model is taken to be that of the
// negative binomial distribution (bursts of logarithmic size), for which
//
//	log E exp(t·x) = mean · kappa(t),  kappa(t) = -log(1 - (dispersion-1)·(exp(t)-1)) / (dispersion-1)
//
// The ratio's logarithm is a·x_c + b·x_s in windows of few bad requests, with a and b
// as below; raised to the power e its expected value is at most 1, whatever the error
// rate is and does, if and only if
//
//	theta·kappa(e·a) + (1-theta)·kappa(e·b) <= 0,  theta = odds·n_c / (odds·n_c + n_s)
//
// which is convex in e, 0 at e = 0, and falls there. Its other root is what we want:
// 1 without bursts. Dividing by the dispersion instead, as is customary for
// quasi-likelihoods, is right to the second order only, and gives single bursts of a
// rare size more weight than their tail allows: that is where the false alarms of
// bursty services come from.
//
// canary and stable are the numbers of requests.
func exponent(canary, stable, odds, alternative, dispersion float64) float64 {
	delta := dispersion - 1
	if delta <= 0 || canary <= 0 || stable <= 0 {
		return 1
	}
	theta := odds * canary / (odds*canary + stable)
	b := math.Log((odds*canary + stable) / (alternative*canary + stable))
	a := math.Log(alternative/odds) + b
	e := min(1, largestArgument(delta)/max(a, b))
	for range maxNewtonSteps {
		fa, da := kappa(e*a, delta)
		fb, db := kappa(e*b, delta)
		f := theta*fa + (1-theta)*fb
		if f <= 0 {
			break
		}
		step := f / (theta*da*a + (1-theta)*db*b)
		e -= step
		if step < 1e-10*e {
			break
		}
	}
	// Newton's method comes down to the root of a convex function from above.
	return max(0, e*(1-1e-9))
}

const maxNewtonSteps = 40

// largestArgument keeps a little away from where kappa becomes infinite.
func largestArgument(delta float64) float64 { return math.Log1p(0.98 / delta) }

// kappa is the function above, and its derivative.
func kappa(t, delta float64) (value, slope float64) {
	u := math.Expm1(t)
	rest := 1 - delta*u
	return -math.Log1p(-delta*u) / delta, (1 + u) / rest
}
