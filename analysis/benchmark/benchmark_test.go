package main

import (
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// moments are the mean and the variance of what is drawn.
func moments(n int, draw func() float64) (mean, variance float64) {
	sum, squares := 0.0, 0.0
	for range n {
		v := draw()
		sum += v
		squares += v * v
	}
	mean = sum / float64(n)
	return mean, squares/float64(n) - mean*mean
}

func TestDraws(t *testing.T) {
	const n = 60_000
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name           string
		draw           func() int64
		mean, variance float64
	}{
		{"poisson 0.3", func() int64 { return poisson(r, 0.3) }, 0.3, 0.3},
		{"poisson 7", func() int64 { return poisson(r, 7) }, 7, 7},
		{"poisson 400", func() int64 { return poisson(r, 400) }, 400, 400},
		{"poisson 0", func() int64 { return poisson(r, 0) }, 0, 0},
		{"binomial by gaps", func() int64 { return binomial(r, 300, 0.01) }, 3, 2.97},
		{"binomial by rejection", func() int64 { return binomial(r, 1000, 0.3) }, 300, 210},
		{"binomial above half", func() int64 { return binomial(r, 1000, 0.8) }, 800, 160},
		{"binomial all", func() int64 { return binomial(r, 5, 1) }, 5, 0},
		{"table", newTable(1000, 0.03).drawWith(r), 30, 29.1},
		{"table of few", newTable(8, 0.001).drawWith(r), 0.008, 0.008},
		{"geometric", func() int64 { return geometric(r, 3) }, 3, 6},
	} {
		mean, variance := moments(n, func() float64 { return float64(c.draw()) })
		if math.Abs(mean-c.mean) > 5*math.Sqrt((c.variance+1e-9)/n) || math.Abs(variance-c.variance) > 0.06*c.variance+0.002 {
			t.Errorf("%s: mean %v, variance %v; want %v, %v", c.name, mean, variance, c.mean, c.variance)
		}
	}
}

func (t *table) drawWith(r *rand.Rand) func() int64 { return func() int64 { return t.draw(r) } }

func TestMannWhitneyZ(t *testing.T) {
	if z := mannWhitneyZ([]float64{4, 5, 6}, []float64{1, 2, 3}); math.Abs(z-1.7457) > 1e-3 {
		t.Errorf("%v", z)
	}
	for _, c := range [][2][]float64{{nil, {1}}, {{1, 1}, {1, 1}}, {{1}, {2}}} {
		if z := mannWhitneyZ(c[0], c[1]); z != 0 {
			t.Errorf("%v: %v", c, z)
		}
	}
}

func cellNamed(t *testing.T, name string) cell {
	t.Helper()
	for _, c := range cells() {
		if c.String() == name {
			return c
		}
	}
	t.Fatalf("there is no cell %q", name)
	return cell{}
}

// TestRunsComeOutTheSame whatever the number of workers.
func TestRunsComeOutTheSame(t *testing.T) {
	c := cellNamed(t, "x5, 100 rps, 0.1%")
	var texts []string
	for _, workers := range []int{1, 1, 3} {
		r, err := runCell(c, 12, workers)
		if err != nil {
			t.Fatal(err)
		}
		text := r.engine.text(&r)
		for i := range r.rivals {
			text += " " + r.rivals[i].text(&r)
		}
		texts = append(texts, text)
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Error(strings.Join(texts, "\n"))
	}
}

// TestTracesAreWhatTheySay: the numbers of requests and errors that cells are about.
func TestTracesAreWhatTheySay(t *testing.T) {
	for name, odds := range map[string]float64{"A/A, 1000 rps, 1%": 1, "x5, 1000 rps, 1%": 5, "bursts, 1000 rps, 1%": 1} {
		c := cellNamed(t, name)
		var tr trace
		tr.simulate(&c, newRandom(name, 1))
		var requests, bad, stable, stableBad, harmed float64
		for i := range tr.scrapes {
			s := &tr.scrapes[i]
			requests, bad = requests+float64(s.Canary.Total), bad+float64(s.Canary.Bad)
			stable, stableBad = stable+float64(s.Stable.Total), stableBad+float64(s.Stable.Bad)
			harmed += float64(s.harmed)
			if s.halves[0].Plus(s.halves[1]) != s.Stable {
				t.Fatalf("%s: halves are not stable", name)
			}
		}
		if got := (bad / requests) / (stableBad / stable); math.Abs(got/odds-1) > 0.05 {
			t.Errorf("%s: %v times the errors", name, got)
		}
		if share := requests / (requests + stable); math.Abs(share-0.182) > 0.003 {
			t.Errorf("%s: %v of the requests", name, share)
		}
		if want := bad * (1 - 1/odds); math.Abs(harmed-want) > 0.03*bad {
			t.Errorf("%s: %v harmed of %v bad", name, harmed, bad)
		}
	}
}

// TestScrapeGapsLoseNothing: what a missing scrape would have counted, the next has.
func TestScrapeGapsLoseNothing(t *testing.T) {
	whole, gaps := cellNamed(t, "A/A, 100 rps, 1%"), cellNamed(t, "scrape gaps, 100 rps, 1%")
	var a, b trace
	a.simulate(&whole, newRandom("x", 1))
	b.simulate(&gaps, newRandom("x", 1))
	missing := 0
	var sums [2]int64
	for i := range a.scrapes {
		sums[0] += a.scrapes[i].Canary.Total + a.scrapes[i].Stable.Bad
		sums[1] += b.scrapes[i].Canary.Total + b.scrapes[i].Stable.Bad
		if b.scrapes[i].missing {
			missing++
		}
	}
	if sums[0] != sums[1] || missing < 20 {
		t.Errorf("%v with %d missing", sums, missing)
	}
}

func TestRivalsFindWhatIsPlain(t *testing.T) {
	c := cellNamed(t, "half fail, 1000 rps, 1%")
	var tr trace
	tr.simulate(&c, newRandom("x", 1))
	for _, r := range rivals {
		if got := r.judge(&tr); got == never {
			t.Errorf("%s did not find it", r.name)
		}
	}
}

// TestCommand runs all parts on a few cells, twice.
func TestCommand(t *testing.T) {
	var texts [2]strings.Builder
	out := t.TempDir()
	for i := range texts {
		args := []string{"-reps", "3", "-cells", "x20, 100 rps", "-out", out, "-only", "errors,latency"}
		if err := run(args, &texts[i], io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	text := texts[0].String()
	if text != texts[1].String() {
		t.Error("not the same again")
	}
	if !strings.Contains(text, "| bursts x20 |") || !strings.Contains(text, "| not run |") || strings.Contains(text, "NaN") {
		t.Error(text)
	}
	for _, name := range []string{"analysis-benchmark.md", "analysis-detection.svg", "analysis-harm.svg"} {
		if content, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(content) < 500 || strings.Contains(string(content), "NaN") {
			t.Errorf("%s: %v, %d bytes", name, err, len(content))
		}
	}
	for _, args := range [][]string{{"-only", "nothing"}, {"-reps", "0"}, {"-workers", "-1"}, {"-nonsense"}} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

// TestGatesFindWhatIsMissed: a gate that cannot be missed is none.
func TestGatesFindWhatIsMissed(t *testing.T) {
	made := func(name string, detected int, change func(*result)) result {
		r := result{cell: cellNamed(t, name), repetitions: 100, rivals: make([]tally, len(rivals))}
		r.engine = tally{detected: detected, minutes: make([]float64, detected), harmed: 5}
		for i := range r.rivals {
			r.rivals[i].harmed = 50
		}
		change(&r)
		return r
	}
	nothing := func(*result) {}
	b := &bench{grid: []result{
		made("A/A, 100 rps, 0.1%", 2, nothing),
		made("bursts, 100 rps, 0.1%", 3, nothing),
		made("x2, 100 rps, 0.1%", 50, func(r *result) { r.passed = 6; r.rivals[4] = tally{detected: 90, harmed: 50} }),
		made("x20, 100 rps, 0.1%", 99, nothing),
		made("late x10, 100 rps, 0.1%", 100, func(r *result) { r.rivals[0] = tally{harmed: 1} }),
	}}
	for i, g := range b.gates()[:6] {
		if !g.ran || g.met {
			t.Errorf("gate %d: %+v", i, g)
		}
	}
	if g := b.gates()[8]; !g.ran || !g.met {
		t.Errorf("%+v", g)
	}
	if g := b.gates()[6]; g.ran || g.verdict() != "not run" {
		t.Errorf("%+v", g)
	}
}
