package analysis

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestCondition(t *testing.T) {
	for _, tc := range []struct {
		expr  string
		value float64
		want  bool
	}{
		{"value < 0.05", 0.04, true},
		{"value < 0.05", 0.05, false},
		{"value >= 1", 1, true},
		{"value > 1 && value < 10", 5, true},
		{"value == 0.0 || value > 100.0", 0, true},
		{"value * 100.0 < 5.0", 0.01, true},
		{"value < 0.05", math.NaN(), false},
		{"value > 1", math.Inf(1), true},
	} {
		c, err := Compile(tc.expr)
		if err != nil {
			t.Fatalf("%s: %v", tc.expr, err)
		}
		if got, err := c.Holds(tc.value); err != nil || got != tc.want {
			t.Errorf("%s for %v = %v, %v; want %v", tc.expr, tc.value, got, err, tc.want)
		}
	}
}

func TestConditionRejects(t *testing.T) {
	for _, tc := range []struct{ expr, want string }{
		{"value <", "Syntax error"},
		{"value + 1.0", "gives a double where a bool is needed"},
		{"other < 1.0", "undeclared reference to 'other'"},
		{"value == 0", "write 1.0, not 1"},
		{"'a' < value", "no matching overload"},
		{strings.Repeat("(", 5000), "longer than"},
	} {
		_, err := Compile(tc.expr)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.40s: error %v, want one with %q", tc.expr, err, tc.want)
		}
	}
}

func TestConditionCostIsLimited(t *testing.T) {
	list := "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]"
	c, err := Compile(fmt.Sprintf("%[1]s.all(a, %[1]s.all(b, %[1]s.all(c, %[1]s.all(d, a+b+c+d > 0 && value < 1.0))))", list))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Holds(0); err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("error %v, want one about the cost limit", err)
	}
}

func TestConditionsAreCompiledOnceAndBounded(t *testing.T) {
	a, _ := Compile("value < 0.123")
	if b, _ := Compile("value < 0.123"); a != b {
		t.Error("compiled twice")
	}
	for i := range conditionCacheSize + 10 {
		if _, err := Compile(fmt.Sprintf("value < %d.5", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := conditions.Len(); n != conditionCacheSize {
		t.Errorf("%d conditions are kept, want %d", n, conditionCacheSize)
	}
}

func FuzzCondition(f *testing.F) {
	f.Add("value < 0.05 && value > 1e-3", 0.01)
	f.Add("[value].exists(x, x == value)", math.NaN())
	f.Add("string(value).matches('a+') || 1 / int(value) > 0", 0.0)
	f.Fuzz(func(t *testing.T, expr string, value float64) {
		c, err := compile(expr)
		if err != nil {
			return
		}
		first, err1 := c.Holds(value)
		second, err2 := c.Holds(value)
		if first != second || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q for %v gives %v, %v, and then %v, %v", expr, value, first, err1, second, err2)
		}
	})
}
