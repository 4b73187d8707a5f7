package sequential

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

func pois(r *rand.Rand, mean float64) int64 {
	if mean <= 0 {
		return 0
	}
	if mean > 200 {
		return max(0, int64(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	l, k, p := math.Exp(-mean), int64(0), 1.0
	for {
		p *= r.Float64()
		if p <= l {
			return k
		}
		k++
	}
}

func hist(r *rand.Rand, n float64, slow [3]float64, burst, size float64) Histogram {
	// counts in classes by independent Poisson
	cls := [4]int64{pois(r, n*(1-slow[0])), pois(r, n*(slow[0]-slow[1])), pois(r, n*(slow[1]-slow[2])), pois(r, n*slow[2])}
	// bursts of slow ones, over 250
	if burst > 0 {
		for range pois(r, n*burst/size) {
			k := int64(1)
			for r.Float64() > 1/size {
				k++
			}
			cls[3] += k
		}
	}
	return Histogram{Bounds: []float64{50, 100, 250}, Below: []int64{cls[0], cls[0] + cls[1], cls[0] + cls[1] + cls[2]}, Total: cls[0] + cls[1] + cls[2] + cls[3]}
}

func TestScratch(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		return
	}
	weights := []float64{.01, .05, .10, .25, .50}
	base := [3]float64{.355, .063, .0011}
	worse := [3]float64{.39, .12, .0099 * 1.2}
	for _, mode := range []string{"windows", "one", "four"} {
		for _, rps := range []float64{10, 100, 1000} {
			for name, sc := range map[string]struct {
				canary [3]float64
				burst  float64
				size   float64
				shared bool
			}{"A/A": {base, 0, 1, false}, "bursts3": {base, .01, 3, false}, "bursts10": {base, .01, 10, false}, "shared": {base, 0, 1, true}, "worse": {worse, 0, 1, false}, "worse after shared": {worse, 0, 1, true}} {
				reps := 300
				cond, passed, minutes := 0, 0, 0.0
				r := rand.New(rand.NewPCG(1, uint64(rps)))
				for range reps {
					l, _ := NewLatency([]float64{50, 100, 250}, DefaultTolerances(), 5)
					switch mode {
					case "windows":
						l.DispersionLimit = UnknownDispersion()
					case "one":
						l.DispersionLimit = 1
					}
					var last *Histogram
					done, pass := -1, false
				release:
					for s, w := range weights {
						l.Restart()
						for i := range 19 {
							slow, canarySlow := base, sc.canary
							if sc.shared && s == 1 && i < 10 {
								slow = [3]float64{.9, .6, .2}
								canarySlow = slow
							}
							n := rps * 30
							c := hist(r, n*w, canarySlow, sc.burst, sc.size)
							st := hist(r, n*(1-w), slow, sc.burst, sc.size)
							if err := l.Observe(c, st); err != nil {
								t.Fatal(err)
							}
							if mode == "windows" {
								if last == nil {
									last = &st
								} else {
									_ = l.ObserveHalves(*last, st)
									last = nil
								}
							}
							pass = pass || l.Passes(.05)
							if l.Worse(.01) {
								done = s*19 + i
								break release
							}
						}
					}
					if done >= 0 {
						cond++
						minutes += float64(done) / 2
					}
					if pass {
						passed++
					}
				}
				t.Logf("%-8s %5v rps %-20s condemned %5.1f%% at %4.1f min, passed %5.1f%%", mode, rps, name, 100*float64(cond)/float64(reps), minutes/math.Max(1, float64(cond)), 100*float64(passed)/float64(reps))
			}
		}
	}
}
