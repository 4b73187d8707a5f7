package alerts

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

func TestMatcher(t *testing.T) {
	labels := map[string]string{"severity": "page", "team": "a b", "path": `C:\x "y"`, "n": "one\ntwo"}
	for text, want := range map[string]bool{
		`severity="page"`:       true,
		`severity=page`:         true,
		` severity = "page" `:   true,
		`severity="pag"`:        false,
		`severity!="page"`:      false,
		`severity!="warn"`:      true,
		`severity=~"pa.*"`:      true,
		`severity=~pa.e`:        true,
		`severity=~"pa"`:        false, // whole values only
		`severity=~"pag|page"`:  true,
		`severity!~"pa.*"`:      false,
		`severity!~"w.*"`:       true,
		`team="a b"`:            true,
		`path="C:\\x \"y\""`:    true,
		`path=~"C:\\\\x .*"`:    true,
		`path=~"C:.x \"\w\""`:   true,
		`n="one\ntwo"`:          true,
		`n=~"one.two"`:          true,
		`absent=""`:             true,
		`absent=`:               true,
		`absent!=""`:            false,
		`absent=~".+"`:          false,
		`absent!="x"`:           true,
		`severity="página"`:     false,
		`severity=~"(page)"`:    true,
		`severity="pa=ge"`:      false,
		`severity=~"p{1}age"`:   true,
		`severity!~"(?i)PAGE"`:  false,
		`severity="x\"} or {y"`: false,
	} {
		m, err := parseMatcher(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := m.matches(labels); got != want {
			t.Errorf("%s matches: %v, want %v", text, got, want)
		}
	}
}

func TestMatcherErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                   "want a label name",
		`severity`:           "want a label name",
		`1x="y"`:             "want a label name",
		`"severity"="page"`:  "want a label name",
		`severity=a b`:       "double quotes",
		`severity=a"b`:       "double quotes",
		`severity=~a"b`:      "double quotes",
		`severity="page`:     "closing quote",
		`severity="a" "b"`:   "after the closing quote",
		`severity=~"("`:      "missing closing )",
		`severity=~"a)|(b"`:  "unexpected )",
		`severity=~"(?<"`:    "invalid",
		`severity="page\"`:   "closing quote",
		`severity=="page"`:   "double quotes",
		`severity="page", x`: "after the closing quote",
	} {
		if _, err := parseMatcher(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestParseRules(t *testing.T) {
	rules, err := ParseRules(&v1alpha1.RolloutSpec{Alerts: []v1alpha1.AlertRule{
		{Name: "good", Matchers: []string{"a=b"}, For: &metav1.Duration{Duration: 5}},
		{Name: "every", Matchers: []string{`a!="b"`, `c=~".*"`}},
		{Name: "broken", Matchers: []string{`a=~"("`}},
	}})
	if len(rules) != 1 || rules[0].Name != "good" || rules[0].Action != v1alpha1.AlertActionAbort ||
		rules[0].scope != v1alpha1.AlertScopeCanary || !rules[0].HoldUnknown || rules[0].forAtLeast != 5 {
		t.Errorf("usable: %+v", rules)
	}
	for _, want := range []string{"rule every: matchers select every alert", "rule broken: matcher"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestRulesAfterPromotion asks for how long after a promotion rules are in force.
func TestRulesAfterPromotion(t *testing.T) {
	long := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	watch := &v1alpha1.AfterPromotion{Bake: long(10 * time.Minute), KeepPrevious: long(time.Hour)}
	for name, tc := range map[string]struct {
		rule  v1alpha1.AlertRule
		watch *v1alpha1.AfterPromotion
		want  time.Duration
	}{
		"as long as the metrics": {watch: watch, want: 10 * time.Minute},
		"not without a bake":     {watch: &v1alpha1.AfterPromotion{KeepPrevious: long(time.Hour)}},
		"not without a watch":    {},
		"as long as it says":     {rule: v1alpha1.AlertRule{During: &v1alpha1.AlertWindow{AfterPromotion: long(time.Hour)}}, watch: watch, want: time.Hour},
		"not if it names steps":  {rule: v1alpha1.AlertRule{During: &v1alpha1.AlertWindow{Steps: []string{"half"}}}, watch: watch},
		"not to pause":           {rule: v1alpha1.AlertRule{Action: v1alpha1.AlertActionPause}, watch: watch},
		"not to hold":            {rule: v1alpha1.AlertRule{Action: v1alpha1.AlertActionHold}, watch: watch},
	} {
		tc.rule.Name, tc.rule.Matchers = "r", []string{"a=b"}
		rules, err := ParseRules(&v1alpha1.RolloutSpec{Alerts: []v1alpha1.AlertRule{tc.rule}, AfterPromotion: tc.watch})
		if err != nil || rules[0].AfterPromotion != tc.want {
			t.Errorf("%s: %s, %v", name, rules[0].AfterPromotion, err)
		}
	}
}

// FuzzMatcher holds that whatever is read means the opposite of its negation.
func FuzzMatcher(f *testing.F) {
	for _, seed := range []string{`"page"`, `page`, `"a\"b\\n\n"`, `"(`, `".*"`, `"é"`, `""`} {
		f.Add(seed, "page")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		for _, op := range [][2]string{{"=", "!="}, {"=~", "!~"}} {
			is, err := parseMatcher("l" + op[0] + text)
			not, notErr := parseMatcher("l" + op[1] + text)
			if strings.HasPrefix(text, "~") || strings.HasPrefix(text, "=") {
				continue // another operator
			}
			if (err == nil) != (notErr == nil) {
				t.Fatalf("%q: %v but %v", text, err, notErr)
			}
			if err == nil && is.matches(map[string]string{"l": value}) == not.matches(map[string]string{"l": value}) {
				t.Fatalf("%q means the same as its opposite for %q", text, value)
			}
		}
	})
}
