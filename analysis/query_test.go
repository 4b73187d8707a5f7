package analysis

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

var (
	t0   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	vars = Variables{Namespace: "shop", Rollout: "checkout", Stable: "6d4f", Canary: "7c9b"}
)

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func dur(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestTemplate(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{`up`, `up`},
		{`{{namespace}}/{{ rollout }}/{{	stable}}/{{canary }}`, `shop/checkout/6d4f/7c9b`},
		{`rate(x{r="{{canary}}"}[{{window}}])`, `rate(x{r="7c9b"}[90s])`},
		{`x{r=~"a{2}}"}`, `x{r=~"a{2}}"}`},
	} {
		tpl, err := ParseTemplate(tc.query)
		if err != nil {
			t.Fatalf("%s: %v", tc.query, err)
		}
		if got := tpl.Render(vars, 90*time.Second); got != tc.want {
			t.Errorf("%s gives %s, want %s", tc.query, got, tc.want)
		}
	}
}

func TestTemplateRejects(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{`x{a="{{revision}}"}`, `unknown placeholder "{{revision}}": use one of {{namespace}}, {{rollout}}, {{stable}}, {{canary}}, {{window}}`},
		{`{{}}`, "unknown placeholder"},
		{`{{Canary}}`, "unknown placeholder"},
		{`{{ canary`, "no closing braces"},
		{`{{ {{canary}} }}`, "unknown placeholder"},
	} {
		if _, err := ParseTemplate(tc.query); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %s", tc.query, err, tc.want)
		}
	}
}

func TestTemplateEscapes(t *testing.T) {
	tpl, err := ParseTemplate(`x{a="{{canary}}",b='{{canary}}'}`)
	if err != nil {
		t.Fatal(err)
	}
	got := tpl.Render(Variables{Canary: "a\"b'c\\d\ne`{{window}}"}, time.Second)
	want := `x{a="a\x22b\x27c\\d\ne\x60\x7b\x7bwindow\x7d\x7d",b='a\x22b\x27c\\d\ne\x60\x7b\x7bwindow\x7d\x7d'}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLookback(t *testing.T) {
	for _, tc := range []struct {
		expr string
		want time.Duration
	}{
		{`up`, 0},
		{`vector(1)`, 0},
		{`1 > bool 2`, 0},
		{`rate(x[5m])`, 5 * time.Minute},
		{`rate(x[1h30m])`, 90 * time.Minute},
		{`rate(x[300])`, 5 * time.Minute},
		{`rate(x[ 5m ])`, 5 * time.Minute},
		{`sum(rate(a[5m])) / sum(rate(b[1m]))`, 5 * time.Minute},
		{`sum by (le, x) (rate(a[2m]))`, 2 * time.Minute},
		{`sum(rate(a[2m])) by (le)`, 2 * time.Minute},
		{`SUM(rate(a[2m])) WITHOUT ("a(b")`, 2 * time.Minute},
		{`a * on(x) group_left(y) rate(b[3m])`, 3 * time.Minute},
		{`max_over_time(rate(a[5m])[1h:1m])`, 65 * time.Minute},
		{`max_over_time((sum(rate(a[5m])) by (x))[1h:])`, 65 * time.Minute},
		{`max_over_time(up[1m:5s])`, 2 * time.Minute},
		{`max_over_time(up[1h:5s])`, 65 * time.Minute},
		{`rate(x[5m] offset 1h)`, 65 * time.Minute},
		{`rate(x[5m] OFFSET 1h)`, 65 * time.Minute},
		{`rate(x[5m] offset -1h)`, 5 * time.Minute},
		{`x offset 10s`, 20 * time.Second},
		{`x{a="[1h] offset 1d @ 5"}`, 0},
		{"x{a=~`[0-9]\\`}[1m]", time.Minute},
		{`x{a='it\'s [3d]'}`, 0},
		{"rate(x[5m]) # [1d] offset 1w\n + 1", 5 * time.Minute},
		{`offset`, 0},
		{`offset[5m]`, 5 * time.Minute},
		{`offset offset 5m`, 10 * time.Minute},
		{`by[5m]`, 5 * time.Minute},
		{`job:rate5m{x="1"} / job:rate1h`, 0},
		{`1e-3 + 0x1F + .5 + x`, 0},
		{`rate(x[5m]) unless rate(y[10m])`, 10 * time.Minute},
		{`{"a.b"}[5m]`, 5 * time.Minute},
		{`rate(x[9999999y])`, maxReach},
	} {
		got, err := Lookback(tc.expr)
		if err != nil && tc.want != maxReach {
			t.Errorf("%s: %v", tc.expr, err)
		}
		if err == nil && got != tc.want {
			t.Errorf("%s looks back %s, want %s", tc.expr, got, tc.want)
		}
	}
}

func TestLookbackRejects(t *testing.T) {
	for _, tc := range []struct{ expr, want string }{
		{`x @ 1609746000`, "modifier @"},
		{`rate(x[5m] @ start())`, "modifier @"},
		{`rate(x[5m * 2])`, "plain duration"},
		{`rate(x[step()])`, "plain duration"},
		{`rate(x[])`, "plain duration"},
		{`rate(x[-5m])`, "plain duration"},
		{`max_over_time(x[1h:range()])`, "plain duration"},
		{`x offset (5m)`, "plain duration"},
		{`x offset step()`, "plain duration"},
		{`rate(x[5m] smoothed)`, "smoothed"},
		{`rate(x[5m] Anchored)`, "anchored"},
		{`rate(x[5m]`, "not closed"},
		{`x{a="b"`, "not closed"},
		{`x{a="b}`, "not closed"},
		{`x[5m`, "not closed"},
		{`x)`, "not opened"},
		{`x]`, "what was not opened"},
		{strings.Repeat("(", 300), "too deep"},
	} {
		if _, err := Lookback(tc.expr); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.40s: error %v, want one with %q", tc.expr, err, tc.want)
		}
	}
}

func TestBuildQuery(t *testing.T) {
	const early = "early"
	for _, tc := range []struct {
		name, query  string
		window       time.Duration
		age          time.Duration
		want         string
		wantLookback time.Duration
	}{
		{"window grows with the step", `rate(x[{{window}}])`, time.Minute, seconds(12.9), `rate(x[12s])`, seconds(12)},
		{"window is limited", `rate(x[{{window}}])`, time.Minute, time.Hour, `rate(x[60s])`, maxLookback},
		{"no window below a second", `rate(x[{{window}}])`, time.Minute, seconds(.9), early, 0},
		{"window outside of brackets", `x / {{window}}`, time.Minute, seconds(.9), early, 0},
		{"instant at once", `x`, time.Minute, 0, `x`, time.Millisecond},
		{"instant within a second", `x`, time.Minute, seconds(.2509), `x`, 250 * time.Millisecond},
		{"literal range too early", `rate(x[5m])`, time.Minute, 299 * time.Second, early, 0},
		{"literal range just in time", `rate(x[5m])`, time.Minute, 300 * time.Second, `rate(x[5m])`, maxLookback},
		{"before the step", `x`, time.Minute, -time.Second, early, 0},
		{"window and a longer range", `rate(x[{{window}}]) / rate(x[1m])`, time.Hour, 61 * time.Second, `rate(x[61s]) / rate(x[1m])`, 61 * time.Second},
		{"window twice in a chain", `max_over_time(rate(x[{{window}}])[{{window}}:5s])`, time.Hour, 100 * time.Second, `max_over_time(rate(x[50s])[50s:5s])`, 50 * time.Second},
		{"window as a subquery leaves half", `max_over_time(x[{{window}}:5s])`, time.Hour, 100 * time.Second, `max_over_time(x[50s:5s])`, 50 * time.Second},
		{"window as a long subquery", `max_over_time(x[{{window}}:5s])`, time.Hour, time.Hour, `max_over_time(x[3300s:5s])`, maxLookback},
		{"offset", `x - x offset 1m`, time.Hour, 2 * time.Minute, `x - x offset 1m`, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &v1alpha1.Metric{Query: tc.query, Window: dur(tc.window)}
			q, err := BuildQuery(m, vars, t0, t0.Add(tc.age))
			if tc.want == early {
				if !errors.Is(err, ErrTooEarly) {
					t.Fatalf("got %+v, %v; want %v", q, err, ErrTooEarly)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if q.Expr != tc.want || q.Lookback != tc.wantLookback {
				t.Errorf("got %s, lookback %s; want %s, lookback %s", q.Expr, q.Lookback, tc.want, tc.wantLookback)
			}
		})
	}
}

func TestNextDue(t *testing.T) {
	base := v1alpha1.Metric{Query: "x", Interval: dur(10 * time.Second)}
	with := func(edit func(*v1alpha1.Metric)) v1alpha1.Metric {
		m := *base.DeepCopy()
		edit(&m)
		return m
	}
	for _, tc := range []struct {
		name      string
		metric    v1alpha1.Metric
		last      float64 // seconds after the step, negative for never
		now, want float64
	}{
		{"at once", base, -1, 0, 0},
		{"before the step", base, -1, -5, 0},
		{"after the initial delay", with(func(m *v1alpha1.Metric) { m.InitialDelay = dur(7 * time.Second) }), -1, 0, 7},
		{"window needs a second", with(func(m *v1alpha1.Metric) { m.Query = "rate(x[{{window}}])" }), -1, 0, 1},
		{"a literal range needs its length", with(func(m *v1alpha1.Metric) { m.Query = "rate(x[1m])" }), -1, 3, 60},
		{"the greater of both", with(func(m *v1alpha1.Metric) { m.Query = "rate(x[1m])"; m.InitialDelay = dur(90 * time.Second) }), -1, 3, 90},
		{"an interval later", base, 20, 20.5, 30},
		{"an interval later, from the first", with(func(m *v1alpha1.Metric) { m.InitialDelay = dur(7 * time.Second) }), 17, 17.5, 27},
		{"a gap gives one measurement", base, 20, 97, 90},
		{"and then the usual", base, 90, 97, 100},
		{"late by less than an interval", base, 20, 33, 30},
		{"a first one that is late by many", base, -1, 45, 40},
		{"the last one was off the grid", base, 23, 24, 30},
		{"a query that cannot be built", with(func(m *v1alpha1.Metric) { m.Query = "{{x}}" }), -1, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := v1alpha1.MetricStatus{}
			if tc.last >= 0 {
				s.LastMeasuredAt = &metav1.MicroTime{Time: t0.Add(seconds(tc.last))}
			}
			got := NextDue(&tc.metric, &s, t0, t0.Add(seconds(tc.now))).Sub(t0)
			if got != seconds(tc.want) {
				t.Errorf("due at %s, want %vs", got, tc.want)
			}
		})
	}
}

func TestValidateMetrics(t *testing.T) {
	err := ValidateMetrics([]v1alpha1.Metric{
		{Name: "good", Query: "rate(x[{{window}}])", SuccessWhen: "value < 1"},
		{Name: "cel", Query: "x", SuccessWhen: "value <", FailWhen: "value"},
		{Name: "query", Query: "x{{nope}}", FailWhen: "value > 1"},
		{Name: "at", Query: "x @ 5", FailWhen: "value > 1"},
		{Name: "none", Query: "x"},
		{Name: "good", Query: "x", FailWhen: "value > 1"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`metric "cel": successWhen: `, "failWhen: gives a double where a bool is needed",
		`metric "query": query: unknown placeholder "{{nope}}"`,
		`metric "at": query: the modifier @`,
		`metric "none": at least one of successWhen and failWhen`,
		`metric "good": another metric has this name`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if err := ValidateMetrics([]v1alpha1.Metric{{Name: "good", Query: "x", SuccessWhen: "value < 1"}}); err != nil {
		t.Error(err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`x{a="{{canary}}"}`, `7c9b`)
	f.Add("x{a='{{canary}}',b=\"{{ stable }}\"} # {{rollout}}", "a\"'`\\\n{{window}}")
	f.Fuzz(func(t *testing.T, query, value string) {
		tpl, err := ParseTemplate(query)
		if err != nil {
			return
		}
		plain := tpl.Render(Variables{Namespace: "n", Rollout: "n", Stable: "n", Canary: "n"}, time.Second)
		hostile := tpl.Render(Variables{Namespace: value, Rollout: value, Stable: value, Canary: value}, time.Second)
		if strings.Count(plain, "\n") != strings.Count(hostile, "\n") {
			t.Fatalf("a value added a line: %q", hostile)
		}
		for _, quote := range []string{`"`, `'`, "`", "{", "}", "#"} {
			if strings.Count(plain, quote) != strings.Count(hostile, quote) {
				t.Fatalf("a value added %s: %q", quote, hostile)
			}
		}
	})
}

func FuzzLookback(f *testing.F) {
	for _, s := range []string{
		`sum(rate(x{a="b"}[5m])) by (le) / on(x) y offset 1h`, `max_over_time(x[1h:5m])`, "# c\n'a\\'", `x @ 5`, `1e-3[`, `offset`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		d, err := Lookback(expr)
		if d < 0 || d > 2*maxReach {
			t.Fatalf("looks back %s, %v", d, err)
		}
		if err != nil {
			return
		}
		if outer, err := Lookback("(" + expr + "\n)[1h:]"); err != nil || outer < d || outer < time.Hour && d < maxReach {
			t.Fatalf("%q looks back %s, and inside a subquery %s, %v", expr, d, outer, err)
		}
	})
}

func FuzzBuildQuery(f *testing.F) {
	f.Add(`rate(x[{{window}}])`, int64(5000), int64(60))
	f.Add(`max_over_time(x[{{window}}:5s] offset 10s)`, int64(123456), int64(600))
	f.Fuzz(func(t *testing.T, query string, ageMillis, windowSeconds int64) {
		age := time.Duration(ageMillis%1e9) * time.Millisecond
		m := &v1alpha1.Metric{Query: query, Window: dur(time.Duration(windowSeconds%86400) * time.Second)}
		q, err := BuildQuery(m, vars, t0, t0.Add(age))
		if err != nil {
			return
		}
		r, err := reachOf(q.Expr)
		if err != nil {
			t.Fatalf("%q: %v", q.Expr, err)
		}
		if r.total > age || r.shift > 0 && r.shift+q.Lookback > age || q.Lookback > max(age, time.Millisecond) {
			t.Fatalf("%q with lookback %s sees data from before the step, %s ago", q.Expr, q.Lookback, age)
		}
	})
}
