package sequential

import (
	"testing"
	"time"
)

func observed(t tester, windows ...Window) (Comparison, OddsInterval) {
	t.Helper()
	c, o := newComparison(t, 1), NewOddsInterval()
	for _, w := range windows {
		if err := c.Observe(w, 1); err != nil {
			t.Fatal(err)
		}
		if err := o.Observe(w, 1); err != nil {
			t.Fatal(err)
		}
	}
	return c, o
}

func TestSentences(t *testing.T) {
	traffic := Traffic{CanaryPerSecond: 12, StablePerSecond: 108}
	for _, c := range []struct {
		name          string
		windows       []Window
		traffic       Traffic
		seen, missing string
	}{
		{"nothing", nil, Traffic{}, "canary had no requests yet", "needs traffic to the canary"},
		{"no stable", []Window{{Canary: Counts{10, 1}}}, Traffic{CanaryPerSecond: 1},
			"stable had no requests to compare with, canary 1/10 bad", "needs traffic to stable"},
		{"no errors", []Window{{Canary: Counts{1000, 0}, Stable: Counts{9000, 0}}}, traffic,
			"no bad requests, canary 0/1,000, stable 0/9,000", "needs about 300k more canary requests at this weight to pass: 7 h"},
		{"worse", []Window{{Canary: Counts{10_312, 412}, Stable: Counts{9_988, 138}}}, traffic,
			"canary 3.0x stable's error odds, 95% CI 2.1-4.3, 412/10,312 against 138/9,988; p = 9e-20 < 0.01", "nothing: the canary is worse"},
		{"alike", []Window{{Canary: Counts{10_000, 150}, Stable: Counts{90_000, 1350}}}, traffic,
			"canary 1.0x stable's error odds, 95% CI 0.72-1.4, 150/10,000 against 1,350/90,000; p = 1 > 0.01", "nothing: the canary passes"},
		{"early", []Window{{Canary: Counts{1000, 3}, Stable: Counts{9000, 9}}}, traffic,
			"", "needs about"},
		{"between", []Window{{Canary: Counts{10_000, 20}, Stable: Counts{90_000, 110}}}, traffic, "", "needs about"},
	} {
		cmp, interval := observed(t, c.windows...)
		if got := cmp.Seen("error", 0.01, &interval); c.seen != "" && got != c.seen {
			t.Errorf("%s: %s", c.name, got)
		}
		got := cmp.Missing(0.01, 0.05, 1, c.traffic)
		if c.missing == "needs about" && len(got) > len(c.missing) {
			got = got[:len(c.missing)]
		}
		if got != c.missing {
			t.Errorf("%s: %s", c.name, cmp.Missing(0.01, 0.05, 1, c.traffic))
		}
	}
}

func TestLevelSentences(t *testing.T) {
	l := newLevel(t, 0.001, 1)
	if got := l.Seen("error", 0.01); got != "no requests yet" {
		t.Error(got)
	}
	if err := l.Observe(Counts{20_000, 30}, 1); err != nil {
		t.Fatal(err)
	}
	if got := l.Seen("error", 0.01); got != "error ratio 0.15%, limit 0.1%, 30/20,000; p = 0.25 > 0.01" {
		t.Error(got)
	}
}

func TestForecastsMeetTheirTime(t *testing.T) {
	traffic := Traffic{CanaryPerSecond: 10, StablePerSecond: 90}
	c, _ := observed(t, Window{Canary: Counts{1000, 30}, Stable: Counts{9000, 90}})
	f := c.ForecastRollBack(1e-6, 1, traffic)
	if !f.Known {
		t.Fatal("no end in sight")
	}
	// The same again, for as long as it should take.
	n := int64(0)
	for ; !c.Worse(1e-6) && n < 1000; n++ {
		if err := c.Observe(Window{Canary: Counts{100, 3}, Stable: Counts{900, 9}}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if took := float64(100 * n); took > f.Requests*1.2+100 || took < f.Requests*0.6-100 {
		t.Errorf("took %v requests, %v were forecast", took, f.Requests)
	}
	if want := time.Duration(f.Requests / 10 * float64(time.Second)); f.After != want {
		t.Errorf("%v, want %v", f.After, want)
	}
}

func TestNumbersAsOneSaysThem(t *testing.T) {
	for got, want := range map[string]string{
		grouped(0): "0", grouped(999): "999", grouped(10312): "10,312", grouped(-1234567): "-1,234,567",
		short(2.94): "2.9", short(3): "3.0", short(0.123): "0.12", short(41.6): "42", short(1234.5): "1,235", short(0): "0",
		rounded(29_731): "30k", rounded(12): "12", rounded(0): "0", rounded(1_960_000): "2M",
		about(41 * time.Minute): "41 min", about(50 * time.Second): "50 s", about(5 * time.Hour): "5 h", about(100 * 24 * time.Hour): "100 days",
		probability(0.0004): "0.0004", probability(0.01): "0.01", probability(3.2e-9): "3e-09", probability(1): "1",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
