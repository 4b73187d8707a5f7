//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/soak"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// Variables that set how long the soak is, and its seed; "make soak" has them.
const (
	soakRounds = "SLUICE_SOAK_ROUNDS"
	soakSeed   = "SLUICE_SOAK_SEED"
)

// soakTime bounds a soak: no round takes as long as this on the average.
func soakTime() time.Duration {
	return time.Minute + time.Duration(soakNumber(soakRounds, shortSoak))*30*time.Second
}

// shortSoak is how many rounds there are when nobody asks for more.
const shortSoak = 8

// soakNumber reads a variable. What is no number is no reason to run another soak
// than the one that was asked for.
func soakNumber(variable string, otherwise uint64) uint64 {
	raw := os.Getenv(variable)
	if raw == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(raw, 10, 32)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", variable, err))
	}
	return n
}

// tally is what clients saw in the rounds that ended alike.
type tally struct{ rounds, requests, injected, lost int64 }

func (t *tally) add(now, before tally) {
	t.requests += now.requests - before.requests
	t.injected += now.injected - before.injected
	t.lost += now.lost - before.lost
}

// soaker plays a script on one service, under load from three clients.
type soaker struct {
	*service
	clients  map[string]*localcluster.Traffic
	ends     map[soak.End]*tally
	restarts map[soak.Restart]int
	scales   int
	// counted is how much of what the clients saw is in ends.
	counted tally
}

// newSoaker deploys the service and begins to call it.
func newSoaker(ctx context.Context) *soaker {
	GinkgoHelper()
	s := newEdgeService("soak", bake(25, time.Second), approve(60))
	s.Metrics = errorRatio()
	s.Annotations = map[string]string{localcluster.AnnotationDrain: "1s"}
	s.patience = time.Minute
	deploy(ctx, s)
	k := &soaker{service: s, ends: map[soak.End]*tally{}, restarts: map[soak.Restart]int{}}
	k.clients = map[string]*localcluster.Traffic{
		"gRPC": s.traffic, "HTTP/1.1": s.callGateway(ctx, s.Host(), false), "HTTP/2": s.callGateway(ctx, s.Host(), true),
	}
	for _, end := range soak.Ends() {
		k.ends[end] = &tally{}
	}
	return k
}

// seen sums over all clients.
func (k *soaker) seen() tally {
	var sum tally
	for _, t := range k.clients {
		total := t.Snapshot().Total()
		sum.requests += total.Requests
		sum.injected += total.Injected
		sum.lost += total.Lost
	}
	return sum
}

// play plays one round, and asserts that it ended as the script says and that no
// request was lost in it.
func (k *soaker) play(ctx context.Context, r soak.Round) {
	GinkgoHelper()
	stable := k.get(ctx).Status.Stable.Revision
	k.Annotations = map[string]string{
		localcluster.AnnotationStartupDelay: r.Start.String(), localcluster.AnnotationDrain: r.Drain.String(),
	}
	revision := k.release(ctx, r.Version)
	for _, m := range soak.Moments() {
		k.reach(ctx, m)
		k.disturb(ctx, r, m)
		if r.End == soak.Condemned || r.EndAt == m {
			break
		}
	}
	k.end(ctx, r.End, stable, revision)
	k.count(r.End)
	k.ends[r.End].rounds++
	for how, t := range k.clients {
		Expect(t.Losses()).To(BeEmpty(), "requests lost by %s", how)
	}
	// What let a step pass may be written a moment later: the end judges all of it.
	catchUp(ctx)
}

// count adds what the clients saw since the last time to the rounds that ended so.
func (k *soaker) count(end soak.End) {
	now := k.seen()
	k.ends[end].add(now, k.counted)
	k.counted = now
}

// reach waits until the release comes to a moment, or to one after it.
func (k *soaker) reach(ctx context.Context, m soak.Moment) {
	GinkgoHelper()
	step := map[soak.Moment]int32{soak.First: 0, soak.Second: 1}
	switch m {
	case soak.First, soak.Second:
		k.eventually(ctx, m.String(), func(r *v1alpha1.Rollout) bool {
			now := r.Status.Step
			return now != nil && (now.Index > step[m] || now.Index == step[m] && now.InForceSince != nil)
		})
	case soak.Promoting:
		applied(ctx, k.command(ctx, v1alpha1.ActionPromote))
	case soak.Never, soak.Starting:
	}
}

// disturb does what else happens at a moment.
func (k *soaker) disturb(ctx context.Context, r soak.Round, m soak.Moment) {
	GinkgoHelper()
	if r.ScaleAt == m {
		k.scales++
		k.edit(ctx, func(x *v1alpha1.Rollout) { x.Spec.Replicas = ptr.To(r.Replicas) })
	}
	if r.RestartAt == m {
		k.restarts[r.Restart]++
		if r.Restart == soak.Stop {
			Expect(operator.Signal(syscall.SIGTERM)).To(Succeed())
			Eventually(operator.Done()).WithTimeout(20 * time.Second).Should(BeClosed())
		}
		killOperator(ctx)
	}
}

// end ends a release and waits until it did.
func (k *soaker) end(ctx context.Context, end soak.End, stable, revision string) {
	GinkgoHelper()
	switch end {
	case soak.Promoted:
		k.eventually(ctx, "promoted", serves(revision))
	case soak.Aborted:
		applied(ctx, k.command(ctx, v1alpha1.ActionAbort))
		k.returned(ctx, v1alpha1.ReasonAborted, stable)
	case soak.Condemned:
		k.returned(ctx, v1alpha1.ReasonAnalysisFailed, stable)
	case soak.Superseded: // The next release does it, while this one is where it is.
		Expect(k.get(ctx).Status.Canary).To(HaveField("Revision", revision))
	}
}

// returned waits until stable has all traffic again.
func (k *soaker) returned(ctx context.Context, why, stable string) {
	GinkgoHelper()
	r := k.eventually(ctx, "aborted", stalled(why))
	Expect(r.Status.Stable.Revision).To(Equal(stable))
	k.eventuallyWeight(ctx, 0)
}

// String is the report.
func (k *soaker) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-20s %8s %9s %19s %5s\n", "rollouts", "", "requests", "failed as they must", "lost")
	for _, end := range soak.Ends() {
		t := k.ends[end]
		fmt.Fprintf(&out, "%-20s %8d %9d %19d %5d\n", end, t.rounds, t.requests, t.injected, t.lost)
	}
	for _, how := range []string{"gRPC", "HTTP/1.1", "HTTP/2"} {
		total := k.clients[how].Snapshot().Total()
		fmt.Fprintf(&out, "%-20s %8s %9d %19d %5d\n", "by "+how, "", total.Requests, total.Injected, total.Lost)
	}
	fmt.Fprintf(&out, "operator killed %d times, stopped %d times; scaled %d times; %d versions of objects checked, %d written by the operator",
		k.restarts[soak.Kill], k.restarts[soak.Stop], k.scales, checker.Versions(k.Namespace), checker.Written(k.Namespace))
	return out.String()
}

var _ = Describe("Soak", Ordered, func() {
	BeforeAll(func(ctx SpecContext) { startIngress(ctx) }, NodeTimeout(time.Minute))

	It("loses no request over releases back to back, aborted and superseded, scaled, and with the operator restarted", func(ctx SpecContext) {
		rounds, seed := soakNumber(soakRounds, shortSoak), soakNumber(soakSeed, 1)
		k, began := newSoaker(ctx), time.Now()
		for i, r := range soak.Script(seed, int(rounds)) {
			fmt.Fprintf(GinkgoWriter, "%6s %3d of %d: %s\n", time.Since(began).Round(time.Second), i+1, rounds, r)
			k.play(ctx, r)
		}
		rest(ctx, k.service)
		ended(k.Namespace, k.clients)
		k.count(soak.Promoted) // The last round was.
		AddReportEntry("soak", fmt.Sprintf("seed %d, %d rollouts in %s\n%s", seed, rounds, time.Since(began).Round(time.Second), k), ReportEntryVisibilityAlways)
		accepted(ctx)
	}, SpecTimeout(soakTime()))
})
