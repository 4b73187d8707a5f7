package sequential

import "math"

// maxRestarts bounds how often evidence is collected anew, and with it the state. A
// later restart is left out: the evidence that is being collected goes on.
const maxRestarts = 16

// restartWeight is the share of the bet that starts with the j-th restart, counted
// from 0. The shares sum to 1 over all restarts that there may ever be, so nobody
// needs to know in advance how many steps a release will have; and the first, in
// which a bad canary usually shows itself, has half of it.
func restartWeight(j int) float64 { return 1 / float64((j+1)*(j+2)) }

// logWealth is log E for E = Σ_j w_j·mean_g exp(L[j][g]) + (what has not started yet).
func logWealth(restarts [][]float64) float64 {
	terms := make([]float64, 0, maxRestarts+1)
	for j, l := range restarts {
		terms = append(terms, math.Log(restartWeight(j))+logMean(l))
	}
	// Σ_{i>=j} 1/((i+1)(i+2)) = 1/(j+1)
	terms = append(terms, -math.Log(float64(len(restarts)+1)))
	return logSumExp(terms)
}

func logMean(l []float64) float64 { return logSumExp(l) - math.Log(float64(len(l))) }

// finite is exp(logE), at most the largest number there is.
func finite(logE float64) float64 { return min(math.Exp(logE), math.MaxFloat64) }

// pValue is 1/E for the largest E so far, at most 1.
func pValue(maxLogE float64) float64 { return math.Exp(-max(0, maxLogE)) }
