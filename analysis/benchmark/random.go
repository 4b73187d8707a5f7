package main

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sort"
)

// newRandom gives each repetition of each cell numbers of its own, so that a cell
// comes out the same whatever else runs beside it.
func newRandom(cell string, repetition int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(cell))
	return rand.New(rand.NewPCG(h.Sum64(), uint64(repetition)))
}

// poisson draws from the Poisson distribution: by multiplication while the mean is
// small, by transformed rejection from 10 on (W. Hörmann, The Transformed Rejection
// Method for Generating Poisson Random Variables, 1993).
func poisson(r *rand.Rand, mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	if mean < 10 {
		limit, product, k := math.Exp(-mean), r.Float64(), int64(0)
		for product > limit && k < 1000 {
			product *= r.Float64()
			k++
		}
		return k
	}
	b := 0.931 + 2.53*math.Sqrt(mean)
	a := -0.059 + 0.02483*b
	invAlpha := 1.1239 + 1.1328/(b-3.4)
	vr := 0.9277 - 3.6224/(b-2)
	logMean := math.Log(mean)
	for range 1000 {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		if us >= 0.07 && v <= vr {
			return int64(k)
		}
		if k < 0 || (us < 0.013 && v > us) {
			continue
		}
		lg, _ := math.Lgamma(k + 1)
		if math.Log(v)+math.Log(invAlpha)-math.Log(a/(us*us)+b) <= k*logMean-mean-lg {
			return int64(k)
		}
	}
	return int64(mean)
}

// binomial draws from the binomial distribution: by inversion while the mean is
// small, by transformed rejection from 10 on (W. Hörmann, The Generation of Binomial
// Random Variates, 1993).
func binomial(r *rand.Rand, n int64, p float64) int64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - binomial(r, n, 1-p)
	case float64(n)*p < 10:
		return binomialByGaps(r, n, p)
	}
	nf, q := float64(n), 1-p
	sd := math.Sqrt(nf * p * q)
	b := 1.15 + 2.53*sd
	a := -0.0873 + 0.0248*b + 0.01*p
	c := nf*p + 0.5
	vr := 0.92 - 4.2/b
	alpha := (2.83 + 5.1/b) * sd
	logOdds := math.Log(p / q)
	m := math.Floor((nf + 1) * p)
	lgM, _ := math.Lgamma(m + 1)
	lgNM, _ := math.Lgamma(nf - m + 1)
	for range 1000 {
		u, v := r.Float64()-0.5, r.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + c)
		if k < 0 || k > nf {
			continue
		}
		if us >= 0.07 && v <= vr {
			return int64(k)
		}
		lgK, _ := math.Lgamma(k + 1)
		lgNK, _ := math.Lgamma(nf - k + 1)
		if math.Log(v*alpha/(a/(us*us)+b)) <= lgM+lgNM-lgK-lgNK+(k-m)*logOdds {
			return int64(k)
		}
	}
	return int64(nf * p)
}

// binomialByGaps jumps from one success to the next.
func binomialByGaps(r *rand.Rand, n int64, p float64) int64 {
	log, at, k := math.Log1p(-p), int64(0), int64(0)
	for {
		gap := math.Floor(math.Log(1-r.Float64()) / log)
		if gap >= float64(n-at) {
			return k
		}
		at += int64(gap) + 1
		k++
		if at >= n {
			return k
		}
	}
}

// geometric draws sizes 1, 2, 3, ... with the given mean.
func geometric(r *rand.Rand, mean float64) int64 {
	if mean <= 1 {
		return 1
	}
	return 1 + int64(math.Log(1-r.Float64())/math.Log1p(-1/mean))
}

// table draws from one binomial distribution again and again, by looking up.
type table struct {
	n   int64
	p   float64
	cum []float64 // the probability of at most so many
}

// newTable sums probabilities from their recurrence, scaled to what they come to.
func newTable(n int64, p float64) *table {
	t := &table{n: n, p: p}
	mean := float64(n) * p
	last := int64(min(float64(n), mean+12*math.Sqrt(mean)+30))
	// From the most probable value, so that nothing underflows.
	mode := min(last, int64(float64(n+1)*p))
	weights := make([]float64, last+1)
	weights[mode] = 1
	for x := mode; x > 0; x-- {
		weights[x-1] = weights[x] * float64(x) / float64(n-x+1) * (1 - p) / p
	}
	for x := mode; x < last; x++ {
		weights[x+1] = weights[x] * float64(n-x) / float64(x+1) * p / (1 - p)
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
		t.cum = append(t.cum, sum)
	}
	for x := range t.cum {
		t.cum[x] /= sum
	}
	return t
}

func (t *table) draw(r *rand.Rand) int64 {
	x := sort.SearchFloat64s(t.cum, r.Float64())
	return int64(min(x, len(t.cum)-1))
}
