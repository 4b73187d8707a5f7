package sequential

import "math"

// hypergeometric is the distribution of the canary's bad requests when it is known
// how many requests each arm had and how many were bad in both together: Fisher's
// noncentral hypergeometric distribution. What remains free is the odds ratio; the
// error rate itself, and whatever happened to both arms, has cancelled.
//
//	P(x) ∝ C(nc, x) · C(ns, k-x) · odds^x
//
// Source: R. A. Fisher, The Logic of Inductive Inference (1935); A. Fog, Calculation
// Methods for Fisher's Noncentral Hypergeometric Distribution (2008).
type hypergeometric struct {
	nc, ns, k float64
	lo, hi    float64 // the possible values of x
	p, q      float64 // the pooled ratio and its complement
}

func newHypergeometric(w Window) hypergeometric {
	h := hypergeometric{
		nc: float64(w.Canary.Total),
		ns: float64(w.Stable.Total),
		k:  float64(w.Canary.Bad + w.Stable.Bad),
	}
	h.lo, h.hi = max(0, h.k-h.ns), min(h.k, h.nc)
	if n := h.nc + h.ns; n > 0 {
		h.p, h.q = h.k/n, (n-h.k)/n
	}
	return h
}

// certain says that x could not have been anything else, so that it tells nothing:
// an arm without requests, no bad request, or no good one.
func (h *hypergeometric) certain() bool { return h.lo >= h.hi }

// logTerm is log(C(nc, y)·C(ns, k-y)), up to a constant that is the same for all y.
// The binomial probabilities add p^k·q^(n-k), which is that constant.
func (h *hypergeometric) logTerm(y float64) float64 {
	return logBinomial(y, h.nc, h.p, h.q) + logBinomial(h.k-y, h.ns, h.p, h.q)
}

// ratio is P(y+1)/P(y).
func (h *hypergeometric) ratio(y, odds float64) float64 {
	return odds * (h.nc - y) * (h.k - y) / ((y + 1) * (h.ns - h.k + y + 1))
}

// mode is the most probable value, or next to it: where ratio becomes 1, which is
// the root of a quadratic equation, taken in the form that does not cancel.
func (h *hypergeometric) mode(odds float64) float64 {
	b := odds*(h.nc+h.k) + h.ns - h.k + 2
	c := odds*h.nc*h.k - (h.ns - h.k + 1)
	root := math.Sqrt(max(0, b*b-4*(odds-1)*c))
	return min(h.hi, max(h.lo, math.Ceil(2*c/(b+root))))
}

// deviation is about the standard deviation of a distribution whose mode is m.
func (h *hypergeometric) deviation(m float64) float64 {
	return 1 / math.Sqrt(1/max(m, 1)+1/max(h.nc-m, 1)+1/max(h.k-m, 1)+1/max(h.ns-h.k+m, 1))
}

// strideFrom is the standard deviation from which on not every term is summed.
const strideFrom = 64

// logNorm is log(Σ C(nc,y)·C(ns,k-y)·odds^y), up to the constant of logTerm.
//
// The sum starts at the mode and goes both ways until terms no longer count, so no
// term overflows. When the distribution is wide, every s-th term times s stands for
// all. The error of that is known: x is distributed as a sum of independent Bernoulli
// variables (Harkness 1965), so its characteristic function at t is at most
// exp(-2σ²sin²(t/2)), and by Poisson's summation formula the relative error is at
// most 2·Σ_j exp(-8σ²j²/s²): below 1e-30 for s = σ/3. It costs some sixty terms
// whatever the counts.
func (h *hypergeometric) logNorm(odds float64) float64 {
	m := h.mode(odds)
	log := math.Log(odds)
	sum := 1.0
	if sd := h.deviation(m); sd > strideFrom {
		stride := math.Floor(sd / 3)
		sum = stride * h.stridedSum(m, stride, log)
	} else {
		sum += h.sumUp(m, odds) + h.sumDown(m, odds)
	}
	return h.logTerm(m) + m*log + math.Log(sum)
}

// negligible is what a term must at least be of the sum to be worth adding.
const negligible = 1e-17

func (h *hypergeometric) sumUp(m, odds float64) float64 {
	sum, term := 0.0, 1.0
	for y := m; y < h.hi; y++ {
		r := h.ratio(y, odds)
		term *= r
		sum += term
		// Ratios only fall, so that the rest is at most a geometric series.
		if r < 1 && term < negligible*(1+sum)*(1-r) {
			break
		}
	}
	return sum
}

func (h *hypergeometric) sumDown(m, odds float64) float64 {
	sum, term := 0.0, 1.0
	for y := m - 1; y >= h.lo; y-- {
		r := 1 / h.ratio(y, odds)
		term *= r
		sum += term
		if r < 1 && term < negligible*(1+sum)*(1-r) {
			break
		}
	}
	return sum
}

// stridedSum sums every stride-th term around m, relative to that of m.
func (h *hypergeometric) stridedSum(m, stride, logOdds float64) float64 {
	at := h.logTerm(m)
	term := func(y float64) float64 { return math.Exp(h.logTerm(y) - at + (y-m)*logOdds) }
	sum := 1.0
	for y := m + stride; y <= h.hi; y += stride {
		t := term(y)
		sum += t
		if t < negligible*sum {
			break
		}
	}
	for y := m - stride; y >= h.lo; y -= stride {
		t := term(y)
		sum += t
		if t < negligible*sum {
			break
		}
	}
	return sum
}

// logRatios writes to out, for each alternative, the logarithm of how much more
// probable x is under it than under odds:
//
//	log P_a(x) - log P_odds(x) = x·log(a/odds) - logNorm(a) + logNorm(odds)
func (h *hypergeometric) logRatios(x, odds float64, alternatives, out []float64) {
	if h.certain() {
		clear(out)
		return
	}
	null := h.logNorm(odds)
	for i, a := range alternatives {
		out[i] = x*math.Log(a/odds) - h.logNorm(a) + null
	}
}
