package istio

import "math"

// defaultTotal is what the weights of a route add up to where it has none.
const defaultTotal = 100

// numbers are the weights of one route as Istio reads them: relative to their
// sum, absent ones 0. None is negative.
type numbers struct {
	stable, canary int32
	// others is the sum over all other destinations.
	others int64
}

// common is what stable and canary have to share: what they hold together, so
// that the sum of the route stays what it is. A route without any weight gets
// the usual total.
func (n numbers) common() int32 {
	sum := int64(n.stable) + int64(n.canary)
	if sum == 0 && n.others == 0 {
		return defaultTotal
	}
	return int32(min(sum, math.MaxInt32))
}

// unset reports whether the route has no weight at all. Istio programs no such
// route, so nothing is known about where its requests go.
func (n numbers) unset() bool { return n.stable == 0 && n.canary == 0 && n.others == 0 }

// elsewhere reports whether all of the route's requests go to other destinations.
func (n numbers) elsewhere() bool { return n.stable == 0 && n.canary == 0 && n.others > 0 }

// share returns what weight percent of common is in whole numbers. It is 0 only
// for weight 0 and everything only for weight 100. ok is false where that cannot
// be: one cannot be divided in two.
func share(weight, common int32) (canary int32, ok bool) {
	switch {
	case weight <= 0 || common <= 0:
		return 0, true
	case weight >= 100:
		return common, true
	case common == 1:
		return 0, false
	}
	rounded := (int64(weight)*int64(common) + 50) / 100
	return int32(min(max(rounded, 1), int64(common)-1)), true
}

// summary is what several routes say together.
type summary struct {
	// lowest and highest share of the canary in percent, rounded down and up.
	lowest, highest int32
	// fitMin to fitMax are the weights that each route expresses as it stands;
	// none if fitMin is greater.
	fitMin, fitMax int32
}

// summarise folds the routes; those whose requests all go elsewhere say nothing.
func summarise(routes []numbers) summary {
	total := summary{lowest: 100, highest: 0, fitMin: 0, fitMax: 100}
	counted := 0
	for _, n := range routes {
		if n.elsewhere() {
			continue
		}
		counted++
		lowest, highest := n.percent()
		total.lowest, total.highest = min(total.lowest, lowest), max(total.highest, highest)
		fitMin, fitMax := n.fits()
		total.fitMin, total.fitMax = max(total.fitMin, fitMin), min(total.fitMax, fitMax)
	}
	if counted == 0 {
		total.lowest = 0
	}
	return total
}

// percent is the canary's share of the two destinations, rounded down and up.
func (n numbers) percent() (lowest, highest int32) {
	if n.unset() {
		return 0, 100
	}
	canary, sum := int64(n.canary), int64(n.stable)+int64(n.canary)
	return int32(canary * 100 / sum), int32((canary*100 + sum - 1) / sum)
}

// fits returns the least and the greatest weight that come to these numbers;
// 101 and -1 if there is none.
func (n numbers) fits() (least, greatest int32) {
	least, greatest = 101, -1
	if n.unset() {
		return least, greatest
	}
	for weight := int32(0); weight <= 100; weight++ {
		if canary, ok := share(weight, n.common()); ok && canary == n.canary {
			least, greatest = min(least, weight), max(greatest, weight)
		}
	}
	return least, greatest
}
