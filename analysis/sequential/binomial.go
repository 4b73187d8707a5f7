package sequential

import "math"

// stirlingError is log(n!) minus Stirling's formula for it:
// log(n!) - [ (n + 1/2)·log n - n + log(2π)/2 ].
//
// Source: C. Loader, Fast and Accurate Computation of Binomial Probabilities (2000).
// With it a probability of 1e9 trials keeps all of its digits, where the difference
// of two Lgamma of 2e10 would have lost ten of them.
func stirlingError(n float64) float64 {
	if n < 16 {
		lg, _ := math.Lgamma(n + 1)
		return lg - (n+0.5)*math.Log(n) + n - halfLog2Pi
	}
	nn := n * n
	return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-1.0/1188/nn)/nn)/nn)/nn) / n
}

const halfLog2Pi = 0.91893853320467274178

// deviance is x·log(x/m) + m - x, without cancellation where x is close to m.
// Source: Loader (2000), where it is called bd0.
func deviance(x, m float64) float64 {
	if math.Abs(x-m) >= 0.1*(x+m) {
		return x*math.Log(x/m) + m - x
	}
	v := (x - m) / (x + m)
	sum := (x - m) * v
	term := 2 * x * v
	for j := 1; j < 1000; j++ {
		term *= v * v
		next := sum + term/float64(2*j+1)
		if next == sum {
			break
		}
		sum = next
	}
	return sum
}

// logBinomial is the logarithm of the probability of x among n trials of probability
// p, with q = 1 - p, for 0 <= x <= n and 0 < p < 1. Source: Loader (2000).
func logBinomial(x, n, p, q float64) float64 {
	switch {
	case n == 0:
		return 0
	case x == 0 && p < 0.1:
		return -deviance(n, n*q) - n*p
	case x == 0:
		return n * math.Log(q)
	case x == n && q < 0.1:
		return -deviance(n, n*p) - n*q
	case x == n:
		return n * math.Log(p)
	}
	return stirlingError(n) - stirlingError(x) - stirlingError(n-x) -
		deviance(x, n*p) - deviance(n-x, n*q) +
		0.5*math.Log(n/x/(n-x)) - halfLog2Pi
}

// logBeta is the logarithm of the beta function.
func logBeta(a, b float64) float64 {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return la + lb - lab
}

// logSumExp is log(Σ exp(v)), -Inf for nothing.
func logSumExp(values []float64) float64 {
	largest := math.Inf(-1)
	for _, v := range values {
		largest = max(largest, v)
	}
	if math.IsInf(largest, -1) {
		return largest
	}
	sum := 0.0
	for _, v := range values {
		sum += math.Exp(v - largest)
	}
	return largest + math.Log(sum)
}
