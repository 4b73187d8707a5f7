package istio

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		weight, common, want int32
		impossible           bool
	}{
		{weight: 0, common: 100, want: 0},
		{weight: 1, common: 100, want: 1},
		{weight: 50, common: 100, want: 50},
		{weight: 99, common: 100, want: 99},
		{weight: 100, common: 100, want: 100},
		{weight: 5, common: 50, want: 3},
		{weight: 6, common: 50, want: 3},
		{weight: 1, common: 10, want: 1},
		{weight: 99, common: 10, want: 9},
		{weight: 5, common: 2, want: 1},
		{weight: 95, common: 2, want: 1},
		{weight: 5, common: 1000, want: 50},
		{weight: 50, common: 0, want: 0},
		{weight: 100, common: 1, want: 1},
		{weight: 0, common: 1, want: 0},
		{weight: 50, common: 1, impossible: true},
		{weight: 50, common: math.MaxInt32, want: math.MaxInt32/2 + 1},
		{weight: 100, common: math.MaxInt32, want: math.MaxInt32},
	} {
		got, ok := share(c.weight, c.common)
		if ok == c.impossible || got != c.want {
			t.Errorf("share(%d, %d) = %d, %t; want %d, %t", c.weight, c.common, got, ok, c.want, !c.impossible)
		}
	}
}

func TestShareIsMonotoneAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := rapid.OneOf(rapid.Int32Range(2, 200), rapid.Int32Range(2, math.MaxInt32)).Draw(t, "common")
		previous := int32(0)
		for weight := int32(0); weight <= 100; weight++ {
			canary, ok := share(weight, common)
			if !ok || canary < previous || canary > common {
				t.Fatalf("share(%d, %d) = %d, %t after %d", weight, common, canary, ok, previous)
			}
			if (canary == 0) != (weight == 0) || (canary == common) != (weight == 100) {
				t.Fatalf("share(%d, %d) = %d: nothing or everything", weight, common, canary)
			}
			previous = canary
			n := numbers{stable: common - canary, canary: canary}
			if least, greatest := n.fits(); weight < least || weight > greatest {
				t.Fatalf("share(%d, %d) = %d, which fits %d to %d", weight, common, canary, least, greatest)
			}
		}
	})
}

func TestSummarise(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []numbers
		want   summary
	}{
		{"percent", []numbers{{stable: 95, canary: 5}}, summary{5, 5, 5, 5}},
		{"coarse", []numbers{{stable: 47, canary: 3, others: 50}}, summary{6, 6, 5, 6}},
		{"coarse and inexact", []numbers{{stable: 31, canary: 2, others: 67}}, summary{6, 7, 5, 7}},
		{"coarse beside percent", []numbers{{stable: 47, canary: 3, others: 50}, {stable: 95, canary: 5}}, summary{5, 6, 5, 5}},
		{"finer than percent", []numbers{{stable: 895, canary: 105}}, summary{10, 11, 101, -1}},
		{"next to nothing", []numbers{{stable: 999, canary: 1}}, summary{0, 1, 101, -1}},
		{"next to everything", []numbers{{stable: 1, canary: 999}}, summary{99, 100, 101, -1}},
		{"routes disagree", []numbers{{stable: 100}, {stable: 40, canary: 60}}, summary{0, 60, 60, 0}},
		{"no weight at all", []numbers{{}}, summary{0, 100, 101, -1}},
		{"all elsewhere", []numbers{{others: 100}}, summary{0, 0, 0, 100}},
		{"one of two elsewhere", []numbers{{others: 100}, {stable: 70, canary: 30}}, summary{30, 30, 30, 30}},
	} {
		if got := summarise(c.routes); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
