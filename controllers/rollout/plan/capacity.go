package plan

// Headroom on the way back. A revision that carries traffic keeps it, and stable
// takes traffic back, while at least three quarters of the pods that it should
// have are available: what a Deployment tolerates by default. Without it one
// restarting pod of a hundred would keep a bad canary at one percent.
const (
	headroomNumerator   = 3
	headroomDenominator = 4
)

// percentOf returns weight percent of n, rounded up.
func percentOf(n, weight int32) int32 { return int32((int64(n)*int64(weight) + 99) / 100) }

// pods returns how many canary pods a step wants.
func (s Step) pods(replicas int32) int32 {
	switch {
	case s.Pods != nil:
		return *s.Pods
	case s.Percent != nil:
		return percentOf(replicas, *s.Percent)
	default:
		return min(replicas, max(1, percentOf(replicas, s.Weight)))
	}
}

// canaryPods returns how many pods the current step wants: while the spec does not
// say, as many as there are.
func (d *decision) canaryPods() int32 {
	if !d.stepKnown() {
		return d.o.replicaSet(d.p.Canary).Desired
	}
	return d.current().pods(d.o.Spec.Replicas)
}

// need returns how many pods of revision must be available for weight percent of
// the requests: its share of the replicas, less where the user asked for fewer
// canary pods, and for stable no more than it proved to need.
func (d *decision) need(revision string, weight int32) int32 {
	replicas := d.o.Spec.Replicas
	if weight <= 0 || replicas == 0 {
		return 0
	}
	if revision == d.p.Stable && d.p.Proven > 0 {
		replicas = min(replicas, d.p.Proven)
	}
	need := percentOf(replicas, weight)
	if d.isReleased(revision) && weight <= d.p.Step.Weight {
		need = min(need, d.canaryPods())
	}
	return max(1, need)
}

// staying is how many of the available pods will go on: a ReplicaSet's status counts
// those that it was just told to give up until its controller has looked at it.
func (rs ReplicaSet) staying() int32 { return min(rs.Available, rs.Desired) }

// carries reports whether revision can take weight percent of the requests.
func (d *decision) carries(revision string, weight int32) bool {
	return d.o.replicaSet(revision).staying() >= d.need(revision, weight)
}

// carriedBy returns with how many pods the canary has carried its weight: the most
// that were seen in the current step and in the one that the decision began with.
// They go on being enough when the next step or another number of replicas asks for
// more pods, which take their time.
func (d *decision) carriedBy() int32 {
	pods, was := d.p.Step.Progress, d.o.Position.Step
	if was != nil && d.o.Position.Canary == d.p.Canary {
		pods = max(pods, was.Progress)
	}
	return pods
}

// holds reports whether revision can go on with weight percent of the requests,
// or take them back. A destination that is bound to no revision selects every
// pod; it is not for us to say that it cannot.
func (d *decision) holds(revision string, weight int32) bool {
	if revision == "" {
		return true
	}
	need, available := d.need(revision, weight), d.o.replicaSet(revision).Available
	if d.isReleased(revision) {
		need = min(need, max(1, d.carriedBy()))
	}
	return need == 0 || available > 0 &&
		int64(available)*headroomDenominator >= int64(need)*headroomNumerator
}
