package sequential

import "math"

// betaBinomial is the mixture for sums of variables that are either +h or -g and 0 on
// average, which is what bad and good requests are, centred at a ratio of g/(g+h).
// As a function of the sum s and its intrinsic time v = g·h·n it is the evidence that
// the average is not 0, or, one-sided, that it is above 0.
//
// Source: S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-Uniform, Nonparametric,
// Nonasymptotic Confidence Sequences (2021), propositions 7 and 8.
type betaBinomial struct {
	g, h     float64
	a, b     float64 // of the beta distribution of ratios that is mixed over
	oneSided bool
	norm     float64
}

// bestRho tunes a mixture to be tight at the intrinsic time v. Source: Howard et al.
// (2021), section 3.5.
func bestRho(v, alpha float64, oneSided bool) float64 {
	if oneSided {
		alpha *= 2
	}
	l := -2 * math.Log(alpha)
	return v / (l + math.Log(1+l))
}

func newBetaBinomial(g, h, rho float64, oneSided bool) betaBinomial {
	r := max(rho-g*h, 1e-3*g*h)
	m := betaBinomial{g: g, h: h, a: r / (h * (g + h)), b: r / (g * (g + h)), oneSided: oneSided}
	m.norm = m.logBetaAbove(m.a, m.b)
	return m
}

// logBetaAbove is the logarithm of the beta function, or, one-sided, of its part
// above the ratio that is tested.
func (m *betaBinomial) logBetaAbove(a, b float64) float64 {
	if m.oneSided {
		return logUpperBeta(a, b, m.g/(m.g+m.h))
	}
	return logBeta(a, b)
}

// logMixture is the logarithm of the evidence after bad and good requests.
func (m *betaBinomial) logMixture(bad, good float64) float64 {
	return m.logBetaAbove(m.a+bad, m.b+good) - m.norm -
		bad*math.Log(m.g/(m.g+m.h)) - good*math.Log(m.h/(m.g+m.h))
}

// logUpperBeta is log ∫ p^(a-1)·(1-p)^(b-1) dp from p0 to 1.
//
// With p = 1/(1+exp(-t)) what is integrated is exp(a·t - (a+b)·log(1+exp(t))), which
// is log-concave in t for all a and b, however large or small. It is integrated by
// Gauss-Legendre panels, from its highest point in the range outwards, as wide as it
// is there and wider further out, until nothing is left.
func logUpperBeta(a, b, p0 float64) float64 {
	from := math.Log(p0) - math.Log1p(-p0)
	f := func(t float64) float64 { return a*t - (a+b)*softplus(t) }
	top := max(from, math.Log(a/b))
	p := 1 / (1 + math.Exp(-top))
	slope := math.Abs(a - (a+b)*p)
	curve := math.Sqrt((a + b) * p * (1 - p))
	width := 0.5 / max(slope, curve, 1e-9)
	peak := f(top)
	g := func(t float64) float64 { return math.Exp(f(t) - peak) }
	sum := panels(g, top, width, math.Inf(1))
	if top > from {
		sum += panels(g, top, -width, from)
	}
	return peak + math.Log(sum)
}

// softplus is log(1+exp(t)).
func softplus(t float64) float64 {
	if t > 0 {
		return t + math.Log1p(math.Exp(-t))
	}
	return math.Log1p(math.Exp(t))
}

const maxPanels = 400

// panels integrates a function that falls from start on, in the direction of width,
// up to end.
func panels(g func(float64) float64, start, width, end float64) float64 {
	sum := 0.0
	for range maxPanels {
		next := start + width
		last := width > 0 && next >= end || width < 0 && next <= end
		if last {
			next = end
		}
		part := math.Abs(gaussLegendre(g, start, next))
		sum += part
		if last || part < 1e-17*sum {
			break
		}
		start = next
		width *= 1.15
	}
	return sum
}

// Nodes and weights of Gauss and Legendre's quadrature with ten points. Source: M.
// Abramowitz, I. Stegun, Handbook of Mathematical Functions, table 25.4.
var (
	legendreNodes   = [...]float64{0.1488743389816312, 0.4333953941292472, 0.6794095682990244, 0.8650633666889845, 0.9739065285171717}
	legendreWeights = [...]float64{0.2955242247147529, 0.2692667193099963, 0.2190863625159820, 0.1494513491505806, 0.0666713443086881}
)

func gaussLegendre(g func(float64) float64, from, to float64) float64 {
	mid, half := (from+to)/2, (to-from)/2
	sum := 0.0
	for i, x := range legendreNodes {
		sum += legendreWeights[i] * (g(mid+half*x) + g(mid-half*x))
	}
	return sum * half
}
