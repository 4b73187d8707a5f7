package edit

import "math"

// percentTotal is what the weights of a route add up to where nothing else says.
const percentTotal = 100

// leastShared is the least that stable and canary must hold together, beside other
// destinations, for a part of it to be given to the canary: of less, a part would
// be off by more than five points.
const leastShared = 10

// Numbers are the weights of one route as a data plane reads them: relative to
// their sum. None is negative.
type Numbers struct {
	Stable, Canary int32
	// Others is the sum over all other destinations.
	Others int64
	// Max is the greatest number that may stand in the object; 0 for any.
	Max int32
}

// shared is what stable and canary have to share: what they hold together, so
// that the sum of the route, and with it the share of every other destination,
// stays what it is. Where there is no other to keep a share for, it is large
// enough to tell every percentage.
func (n Numbers) shared() int32 {
	sum := int64(n.Stable) + int64(n.Canary)
	if n.Others == 0 {
		sum = max(sum, percentTotal)
	}
	greatest := int64(math.MaxInt32)
	if n.Max > 0 {
		greatest = int64(n.Max)
	}
	return int32(min(sum, greatest))
}

// unset reports whether the route has no weight at all. Nothing is known about
// where its requests go, if anywhere.
func (n Numbers) unset() bool { return n.Stable == 0 && n.Canary == 0 && n.Others == 0 }

// elsewhere reports whether all of the route's requests go to other destinations.
func (n Numbers) elsewhere() bool { return n.Stable == 0 && n.Canary == 0 && n.Others > 0 }

// coarse reports whether stable and canary hold too little together to be shared.
func (n Numbers) coarse() bool {
	sum := int64(n.Stable) + int64(n.Canary)
	return n.Others > 0 && sum > 0 && sum < leastShared
}

// at returns the numbers that give the canary weight percent of what it shares
// with stable. A route that does so is left as it is. ok is false where that
// cannot be told in whole numbers.
func (n Numbers) at(weight int32) (at Numbers, ok bool) {
	if sum := int64(n.Stable) + int64(n.Canary); sum > 0 && int64(n.Canary)*100 == int64(weight)*sum {
		return n, true
	}
	if weight > 0 && weight < 100 && n.coarse() {
		return n, false
	}
	at, shared := n, n.shared()
	at.Canary = share(weight, shared)
	at.Stable = shared - at.Canary
	return at, true
}

// share returns what weight percent of shared, which is 0 or at least 2, is in
// whole numbers. It is 0 only for weight 0 and everything only for weight 100.
func share(weight, shared int32) int32 {
	switch {
	case weight <= 0 || shared <= 0:
		return 0
	case weight >= 100:
		return shared
	}
	rounded := (int64(weight)*int64(shared) + 50) / 100
	return int32(min(max(rounded, 1), int64(shared)-1))
}

// raises reports which destination gets more requests by a change from n to m.
func (n Numbers) raises(m Numbers) (stable, canary bool) {
	before, after := int64(n.Stable)+int64(n.Canary), int64(m.Stable)+int64(m.Canary)
	if before == 0 {
		return m.Stable > 0, m.Canary > 0
	}
	if after == 0 {
		return false, false
	}
	was, is := int64(n.Canary)*after, int64(m.Canary)*before
	return is < was, is > was
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
func summarise(routes []Numbers) summary {
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
func (n Numbers) percent() (lowest, highest int32) {
	if n.unset() {
		return 0, 100
	}
	canary, sum := int64(n.Canary), int64(n.Stable)+int64(n.Canary)
	return int32(canary * 100 / sum), int32((canary*100 + sum - 1) / sum)
}

// fits returns the least and the greatest weight that come to these numbers;
// 101 and -1 if there is none.
func (n Numbers) fits() (least, greatest int32) {
	least, greatest = 101, -1
	if n.unset() {
		return least, greatest
	}
	for weight := int32(0); weight <= 100; weight++ {
		if at, ok := n.at(weight); ok && at == n {
			least, greatest = min(least, weight), max(greatest, weight)
		}
	}
	return least, greatest
}
