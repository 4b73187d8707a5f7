package edit

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestAt(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   Numbers
		weight int32
		want   Numbers
		cannot bool
	}{
		{name: "nothing", from: Numbers{Stable: 100}, weight: 0, want: Numbers{Stable: 100}},
		{name: "one", from: Numbers{Stable: 100}, weight: 1, want: Numbers{Stable: 99, Canary: 1}},
		{name: "everything", from: Numbers{Stable: 100}, weight: 100, want: Numbers{Canary: 100}},
		{name: "the sum stays", from: Numbers{Stable: 900, Canary: 100}, weight: 5, want: Numbers{Stable: 950, Canary: 50}},
		{name: "rounded", from: Numbers{Stable: 150}, weight: 5, want: Numbers{Stable: 142, Canary: 8}},
		{name: "no weights", from: Numbers{}, weight: 30, want: Numbers{Stable: 70, Canary: 30}},
		{name: "too small to tell, nobody else", from: Numbers{Stable: 1}, weight: 5, want: Numbers{Stable: 95, Canary: 5}},
		{name: "small, and says so already", from: Numbers{Stable: 1, Canary: 1}, weight: 50, want: Numbers{Stable: 1, Canary: 1}},
		{name: "small and all of it", from: Numbers{Stable: 1}, weight: 0, want: Numbers{Stable: 1}},
		{name: "beside others", from: Numbers{Stable: 50, Others: 50}, weight: 5, want: Numbers{Stable: 47, Canary: 3, Others: 50}},
		{name: "next to nothing beside others", from: Numbers{Stable: 10, Others: 90}, weight: 1, want: Numbers{Stable: 9, Canary: 1, Others: 90}},
		{name: "next to all beside others", from: Numbers{Stable: 10, Others: 90}, weight: 99, want: Numbers{Stable: 1, Canary: 9, Others: 90}},
		{name: "all elsewhere", from: Numbers{Others: 100}, weight: 50, want: Numbers{Others: 100}},
		{name: "coarse", from: Numbers{Stable: 1, Others: 1}, weight: 50, cannot: true},
		{name: "coarse, of two", from: Numbers{Stable: 2, Others: 1}, weight: 5, cannot: true},
		{name: "coarse and exact", from: Numbers{Stable: 1, Canary: 1, Others: 1}, weight: 50, want: Numbers{Stable: 1, Canary: 1, Others: 1}},
		{name: "coarse to nothing", from: Numbers{Stable: 1, Canary: 1, Others: 1}, weight: 0, want: Numbers{Stable: 2, Others: 1}},
		{name: "coarse to everything", from: Numbers{Stable: 1, Others: 9}, weight: 100, want: Numbers{Canary: 1, Others: 9}},
		{name: "the greatest", from: Numbers{Stable: math.MaxInt32, Canary: math.MaxInt32}, weight: 100, want: Numbers{Canary: math.MaxInt32}},
		{name: "the greatest that the API takes", from: Numbers{Stable: 1e6, Canary: 1e6, Max: 1e6}, weight: 20,
			want: Numbers{Stable: 8e5, Canary: 2e5, Max: 1e6}},
	} {
		got, ok := c.from.at(c.weight)
		if ok == c.cannot || ok && got != c.want {
			t.Errorf("%s: %+v at %d is %+v, %t; want %+v, %t", c.name, c.from, c.weight, got, ok, c.want, !c.cannot)
		}
	}
}

// TestAtIsMonotoneAndReadBack draws routes and gives the canary every weight.
func TestAtIsMonotoneAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Int32Range(0, 3), rapid.Int32Range(0, 200), rapid.Int32Range(0, math.MaxInt32))
		from := Numbers{
			Stable: number.Draw(t, "stable"), Canary: number.Draw(t, "canary"), Others: int64(number.Draw(t, "others")),
			Max: rapid.SampledFrom([]int32{0, 1e6}).Draw(t, "max"),
		}
		if from.elsewhere() {
			t.Skip("there is nothing to share")
		}
		var before Numbers
		for weight := int32(0); weight <= 100; weight++ {
			now, ok := from.at(weight)
			if !ok {
				if from.Others == 0 || weight == 0 || weight == 100 {
					t.Fatalf("%+v cannot be %d", from, weight)
				}
				continue
			}
			if stable, _ := before.raises(now); weight > 0 && stable {
				t.Fatalf("%+v: stable gets more at %d: %+v after %+v", from, weight, now, before)
			}
			if (now.Canary == 0) != (weight == 0) || (now.Stable == 0) != (weight == 100) {
				t.Fatalf("%+v at %d is %+v: nothing or everything", from, weight, now)
			}
			if least, greatest := now.fits(); weight < least || weight > greatest {
				t.Fatalf("%+v at %d is %+v, which fits %d to %d", from, weight, now, least, greatest)
			}
			if again, ok := now.at(weight); !ok || again != now {
				t.Fatalf("%+v at %d is %+v, and then %+v", from, weight, now, again)
			}
			before = now
		}
	})
}

func TestRaises(t *testing.T) {
	for _, c := range []struct {
		from, to       Numbers
		stable, canary bool
	}{
		{Numbers{Stable: 90, Canary: 10}, Numbers{Stable: 80, Canary: 20}, false, true},
		{Numbers{Stable: 90, Canary: 10}, Numbers{Stable: 95, Canary: 5}, true, false},
		{Numbers{Stable: 9, Canary: 1}, Numbers{Stable: 90, Canary: 10}, false, false},
		{Numbers{Stable: 1}, Numbers{Stable: 95, Canary: 5}, false, true},
		{Numbers{}, Numbers{Stable: 95, Canary: 5}, true, true},
		{Numbers{}, Numbers{Stable: 100}, true, false},
		{Numbers{Others: 5}, Numbers{Others: 5}, false, false},
	} {
		if stable, canary := c.from.raises(c.to); stable != c.stable || canary != c.canary {
			t.Errorf("%+v to %+v: stable %t, canary %t", c.from, c.to, stable, canary)
		}
	}
}

func TestSummarise(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []Numbers
		want   summary
	}{
		{"percent", []Numbers{{Stable: 95, Canary: 5}}, summary{5, 5, 5, 5}},
		{"coarse", []Numbers{{Stable: 47, Canary: 3, Others: 50}}, summary{6, 6, 5, 6}},
		{"coarse and inexact", []Numbers{{Stable: 31, Canary: 2, Others: 67}}, summary{6, 7, 5, 7}},
		{"coarse beside percent", []Numbers{{Stable: 47, Canary: 3, Others: 50}, {Stable: 95, Canary: 5}}, summary{5, 6, 5, 5}},
		{"finer than percent", []Numbers{{Stable: 895, Canary: 105}}, summary{10, 11, 101, -1}},
		{"next to nothing", []Numbers{{Stable: 999, Canary: 1}}, summary{0, 1, 101, -1}},
		{"next to everything", []Numbers{{Stable: 1, Canary: 999}}, summary{99, 100, 101, -1}},
		{"routes disagree", []Numbers{{Stable: 100}, {Stable: 40, Canary: 60}}, summary{0, 60, 60, 0}},
		{"no weight at all", []Numbers{{}}, summary{0, 100, 101, -1}},
		{"all elsewhere", []Numbers{{Others: 100}}, summary{0, 0, 0, 100}},
		{"one of two elsewhere", []Numbers{{Others: 100}, {Stable: 70, Canary: 30}}, summary{30, 30, 30, 30}},
	} {
		if got := summarise(c.routes); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
