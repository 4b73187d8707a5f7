//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// quiet is for how long the operator must write nothing for a Rollout to count as
// at rest: longer than it waits on its own, for drains and bakes.
const quiet = 3500 * time.Millisecond

// rps is the rate of each scenario's requests.
const rps = 60

// service is a demo service under a Rollout, with a client that calls it.
type service struct {
	demo.Service
	traffic *localcluster.Traffic
	done    bool
	// patience is how long eventually waits; 40 seconds without it.
	patience time.Duration
}

// bake makes a step.
func bake(weight int32, d time.Duration) v1alpha1.Step {
	return v1alpha1.Step{Weight: weight, Bake: &metav1.Duration{Duration: d}}
}

// approve makes a step that waits for a person.
func approve(weight int32) v1alpha1.Step {
	return v1alpha1.Step{Weight: weight, Approval: v1alpha1.ApprovalRequired}
}

// stepName is the name of a step that has none of its own, by its index.
func stepName(index int) string { return fmt.Sprintf("step-%d", index+1) }

// newService describes a service of four pods in a namespace of its own.
func newService(namespace string, steps ...v1alpha1.Step) *service {
	return &service{Service: demo.Service{Namespace: namespace, Name: "app", Replicas: 4, Version: "v1", Steps: steps}}
}

// deploy installs services, waits until they serve, and begins to call them.
func deploy(ctx context.Context, services ...*service) {
	GinkgoHelper()
	for _, s := range services {
		Expect(cluster.ApplyYAML(ctx, s.RoutingYAML())).To(Succeed())
		rollout, err := s.Rollout()
		Expect(err).NotTo(HaveOccurred())
		Expect(kube.Create(ctx, rollout)).To(Succeed())
		DeferCleanup(s.cleanUp)
	}
	for _, s := range services {
		s.eventually(ctx, "deployed", ready)
		s.call(ctx)
	}
}

// call begins to send requests.
func (s *service) call(ctx context.Context) {
	GinkgoHelper()
	var err error
	s.traffic, err = cluster.NewTraffic(localcluster.TrafficOptions{
		Name: "loadgen-" + s.Namespace, Namespace: "clients", Target: s.Target(), RPS: rps,
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(s.traffic.Start(ctx)).To(Succeed())
}

func (s *service) key() client.ObjectKey {
	return client.ObjectKey{Namespace: s.Namespace, Name: s.Name}
}

// get reads the Rollout.
func (s *service) get(ctx context.Context) *v1alpha1.Rollout {
	GinkgoHelper()
	r := &v1alpha1.Rollout{}
	Expect(kube.Get(ctx, s.key(), r)).To(Succeed())
	return r
}

// edit changes the Rollout's spec.
func (s *service) edit(ctx context.Context, change func(*v1alpha1.Rollout)) {
	GinkgoHelper()
	Eventually(func() error {
		r := &v1alpha1.Rollout{}
		if err := kube.Get(ctx, s.key(), r); err != nil {
			return err
		}
		change(r)
		return kube.Update(ctx, r)
	}).Should(Succeed())
}

// push puts another version into the spec.
func (s *service) push(ctx context.Context, version string) {
	GinkgoHelper()
	s.Version = version
	next, err := s.Rollout()
	Expect(err).NotTo(HaveOccurred())
	s.edit(ctx, func(r *v1alpha1.Rollout) { r.Spec.Workload = next.Spec.Workload })
}

// release pushes a version and returns its revision once it is on its way.
func (s *service) release(ctx context.Context, version string) string {
	GinkgoHelper()
	before := s.get(ctx).Status.Attempt
	s.push(ctx, version)
	r := s.eventually(ctx, version+" is released", func(r *v1alpha1.Rollout) bool {
		return r.Status.Attempt > before
	})
	Expect(r.Status.Canary).NotTo(BeNil(), "the release was over before it was seen to begin")
	return r.Status.Canary.Revision
}

// eventually waits for a Rollout that fits and returns it.
func (s *service) eventually(ctx context.Context, what string, fits func(*v1alpha1.Rollout) bool) *v1alpha1.Rollout {
	GinkgoHelper()
	patience := s.patience
	if patience == 0 {
		patience = 40 * time.Second
	}
	return s.within(ctx, patience, what, fits)
}

func (s *service) within(ctx context.Context, d time.Duration, what string, fits func(*v1alpha1.Rollout) bool) *v1alpha1.Rollout {
	GinkgoHelper()
	var r *v1alpha1.Rollout
	Eventually(func() (string, error) {
		r = &v1alpha1.Rollout{}
		if err := kube.Get(ctx, s.key(), r); err != nil {
			return "", err
		}
		if fits(r) {
			return "", nil
		}
		return describe(r), nil
	}).WithTimeout(d).Should(BeEmpty(), "%s: %s", s.Namespace, what)
	return r
}

// describe says where a Rollout is, for failures.
func describe(r *v1alpha1.Rollout) string {
	out := fmt.Sprintf("Rollout %s/%s:", r.Namespace, r.Name)
	if r.Status.Step != nil {
		out += fmt.Sprintf(" step %s in force since %v", r.Status.Step.Name, r.Status.Step.InForceSince)
	}
	for _, c := range r.Status.Conditions {
		out += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return out
}

// reason returns the reason of a condition that is True, or nothing.
func reason(r *v1alpha1.Rollout, condition string) string {
	c := meta.FindStatusCondition(r.Status.Conditions, condition)
	if c == nil || c.Status != metav1.ConditionTrue || r.Status.ObservedGeneration != r.Generation {
		return ""
	}
	return c.Reason
}

func ready(r *v1alpha1.Rollout) bool { return reason(r, v1alpha1.ConditionReady) != "" }

// stalled fits a Rollout that waits for a person for a reason.
func stalled(why string) func(*v1alpha1.Rollout) bool {
	return func(r *v1alpha1.Rollout) bool { return reason(r, v1alpha1.ConditionStalled) == why }
}

// inForce fits a release whose step has its traffic.
func inForce(step string) func(*v1alpha1.Rollout) bool {
	return func(r *v1alpha1.Rollout) bool {
		return r.Status.Step != nil && r.Status.Step.Name == step && r.Status.Step.InForceSince != nil
	}
}

// entered fits a Rollout in a step, whether or not its status says yet that the step
// is in force.
func entered(step string) func(*v1alpha1.Rollout) bool {
	return func(r *v1alpha1.Rollout) bool { return r.Status.Step != nil && r.Status.Step.Name == step }
}

// serves fits a Rollout whose stable revision is this one, with all traffic.
func serves(revision string) func(*v1alpha1.Rollout) bool {
	return func(r *v1alpha1.Rollout) bool {
		return ready(r) && r.Status.Stable.Revision == revision && r.Status.Canary == nil
	}
}

// command sends an action for the revision that is being released.
func (s *service) command(ctx context.Context, action v1alpha1.ActionType) *v1alpha1.RolloutAction {
	GinkgoHelper()
	r := s.get(ctx)
	Expect(r.Status.Canary).NotTo(BeNil(), describe(r))
	a := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{GenerateName: strings.ToLower(string(action)) + "-", Namespace: s.Namespace},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout: s.Name, Action: action, Revision: r.Status.Canary.Revision, Reason: "the scenario says so", RequestedBy: "e2e",
		},
	}
	Expect(kube.Create(ctx, a)).To(Succeed())
	return a
}

// applied waits until an action was applied.
func applied(ctx context.Context, a *v1alpha1.RolloutAction) {
	GinkgoHelper()
	Eventually(func() (bool, error) {
		err := kube.Get(ctx, client.ObjectKeyFromObject(a), a)
		return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionApplied), err
	}).Should(BeTrue(), "action %s: %v", a.Name, a.Status.Conditions)
}

// weight reads the canary destination's weight from the VirtualService, or the route.
func (s *service) weight(ctx context.Context) (int32, error) {
	if s.Route != "" {
		return s.routeWeight(ctx)
	}
	vs := &istionetworking.VirtualService{}
	if err := kube.Get(ctx, s.key(), vs); err != nil {
		return 0, err
	}
	for _, h := range vs.Spec.Http {
		if h.Name == "primary" && len(h.Route) == 2 {
			return h.Route[1].Weight, nil
		}
	}
	return 0, fmt.Errorf("VirtualService %s has no route primary with two destinations", s.key())
}

func (s *service) eventuallyWeight(ctx context.Context, weight int32) {
	GinkgoHelper()
	Eventually(s.weight).WithContext(ctx).WithTimeout(30*time.Second).Should(Equal(weight), "the canary's weight in %s", s.Namespace)
}

// pods returns how many pods each revision's ReplicaSet asks for.
func (s *service) pods(ctx context.Context) map[string]int32 {
	GinkgoHelper()
	var list appsv1.ReplicaSetList
	Expect(kube.List(ctx, &list, client.InNamespace(s.Namespace))).To(Succeed())
	out := map[string]int32{}
	for i := range list.Items {
		out[list.Items[i].Labels[v1alpha1.PodTemplateHashLabel]] = ptr.Deref(list.Items[i].Spec.Replicas, 1)
	}
	return out
}

// rest waits until the operator writes nothing more, and then asserts that the
// whole history kept the invariants and that no request was lost.
func rest(ctx context.Context, services ...*service) {
	GinkgoHelper()
	for _, s := range services {
		Eventually(func() (string, error) {
			if err := audit.Read(); err != nil {
				return "", err
			}
			if w := audit.Since(s.Namespace, time.Now().Add(-quiet)); len(w) > 0 {
				return w[len(w)-1].String(), nil
			}
			return "", nil
		}).WithTimeout(25*time.Second).Should(BeEmpty(), "the operator goes on writing in %s", s.Namespace)
	}
	for _, s := range services {
		s.stop()
	}
	catchUp(ctx)
	for _, s := range services {
		Expect(checker.Written(s.Namespace)).To(BeNumerically(">", 5), "versions in %s that the operator is known to have written", s.Namespace)
		Expect(checker.Report(s.Namespace)).To(BeEmpty(), "the history of %s", s.Namespace)
	}
}

// keeps asserts that something stays as it is for a while.
func (s *service) keeps(ctx context.Context, d time.Duration, what string, fits func(*v1alpha1.Rollout) bool) {
	GinkgoHelper()
	Consistently(func() string {
		if r := s.get(ctx); !fits(r) {
			return describe(r)
		}
		return ""
	}).WithTimeout(d).Should(BeEmpty(), "%s: %s", s.Namespace, what)
}

// stop ends the requests and asserts that none was lost.
func (s *service) stop() {
	GinkgoHelper()
	if s.traffic == nil || s.done {
		return
	}
	s.done = true
	s.traffic.Stop()
	total := s.traffic.Snapshot().Total()
	AddReportEntry("requests", fmt.Sprintf("%s: %d sent, %d lost, %d failed as the version is told to",
		s.Namespace, total.Requests, total.Lost, total.Injected), ReportEntryVisibilityAlways)
	Expect(total.Requests).To(BeNumerically(">", 0))
	Expect(s.traffic.Losses()).To(BeEmpty(), "lost requests in %s", s.Namespace)
}

// cleanUp tells of a failure and removes everything of the service.
func (s *service) cleanUp(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		catchUp(ctx)
		AddReportEntry("history of "+s.Namespace, checker.History(s.Namespace, 80))
		AddReportEntry("log of "+operator.Name(), logTail(operator.LogPath(), 6000))
	}
	if s.traffic != nil {
		s.traffic.Stop()
	}
	catchUp(ctx)
	checker.Ignore(s.Namespace)
	Expect(client.IgnoreNotFound(kube.Delete(ctx, &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}}))).To(Succeed())
	Expect(kube.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}})).To(Succeed())
}
