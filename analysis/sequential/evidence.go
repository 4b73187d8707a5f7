package sequential

import "math"

// MaxSteps bounds how often evidence is collected anew, and with it the state.
const MaxSteps = 16

// stepWeight is the share of the bet that starts with the j-th of several steps. The
// first, in which a bad canary usually shows itself, has half of it.
func stepWeight(j, steps int) float64 {
	switch {
	case steps == 1:
		return 1
	case j == 0:
		return 0.6
	default:
		return 0.4 / float64(steps-1)
	}
}

// logWealth is log E for E = Σ_j w_j·Σ_g v_g·exp(L[j][g]), where what has not been
// started yet is as it was in the beginning, 1.
func logWealth(restarts [][]float64, steps int) float64 {
	var terms [MaxSteps + 1]float64
	left := 1.0
	for j, l := range restarts {
		w := stepWeight(j, steps)
		terms[j] = math.Log(w) + logMixture(l)
		left -= w
	}
	n := len(restarts)
	if n < steps && left > 0 {
		terms[n] = math.Log(left)
		n++
	}
	return logSumExp(terms[:n])
}

// logMixture is log Σ_g v_g·exp(L[g]), with the weights of the alternatives.
func logMixture(l []float64) float64 {
	var terms [len(alternatives)]float64
	for g := range terms {
		terms[g] = l[g] + logAlternativeWeights[g]
	}
	return logSumExp(terms[:])
}

func logMean(l []float64) float64 { return logSumExp(l) - math.Log(float64(len(l))) }

// finite is exp(logE), at most the largest number there is.
func finite(logE float64) float64 { return min(math.Exp(logE), math.MaxFloat64) }

// pValue is 1/E for the largest E so far, at most 1.
func pValue(maxLogE float64) float64 { return math.Exp(-max(0, maxLogE)) }
