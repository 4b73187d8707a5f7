//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// fault is a way in which a Prometheus fails.
type fault string

const (
	healthy fault = "healthy"
	down    fault = "down"
	slow    fault = "slow"
	nan     fault = "nan"
	empty   fault = "empty"
	html    fault = "html"
)

// fakePrometheus answers queries as it is told to: by the first part of the path,
// so that one serves several providers.
type fakePrometheus struct {
	addr string
	// healed makes every path answer well.
	healed  atomic.Bool
	queries atomic.Int64
}

// startFakePrometheus serves on loopback until the scenario ends.
func startFakePrometheus() *fakePrometheus {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	f := &fakePrometheus{addr: l.Addr().String()}
	server := &http.Server{Handler: f, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(l) }()
	DeferCleanup(server.Close)
	return f
}

// ServeHTTP implements http.Handler.
func (f *fakePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.queries.Add(1)
	path, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	how := fault(path)
	if f.healed.Load() {
		how = healthy
	}
	now := float64(time.Now().UnixMilli()) / 1000
	vector := func(items string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, items)
	}
	switch how {
	case healthy:
		vector(fmt.Sprintf(`{"metric":{},"value":[%.3f,"0"]}`, now))
	case nan:
		vector(fmt.Sprintf(`{"metric":{},"value":[%.3f,"NaN"]}`, now))
	case empty:
		vector("")
	case slow:
		<-r.Context().Done()
	case html:
		fmt.Fprint(w, "<html>welcome</html>")
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// provider is a MetricProvider with this way to fail.
func (f *fakePrometheus) provider(namespace string, how fault) *v1alpha1.MetricProvider {
	return &v1alpha1.MetricProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "metrics"},
		Spec: v1alpha1.MetricProviderSpec{Prometheus: &v1alpha1.PrometheusProvider{
			Address: fmt.Sprintf("http://%s/%s", f.addr, how), Timeout: &metav1.Duration{Duration: 500 * time.Millisecond},
		}},
	}
}

var _ = Describe("Analysis without data", func() {
	It("neither promotes nor aborts while Prometheus is down, slow or says nothing, and goes on when it is back", func(ctx SpecContext) {
		fake := startFakePrometheus()
		faults := []fault{down, slow, nan, empty, html}
		var all []*service
		for _, how := range faults {
			s := newService("metrics-"+string(how), bake(25, time.Second), bake(50, time.Second))
			s.Metrics = errorRatio()
			s.Metrics[0].Provider = &v1alpha1.ProviderReference{Name: "metrics"}
			all = append(all, s)
		}
		deploy(ctx, all...)
		revisions := map[*service]string{}
		for i, s := range all {
			Expect(kube.Create(ctx, fake.provider(s.Namespace, faults[i]))).To(Succeed())
			revisions[s] = s.release(ctx, "v2")
		}
		for _, s := range all {
			s.eventually(ctx, "in force", inForce(stepName(0)))
		}
		asked := fake.queries.Load()
		Eventually(fake.queries.Load).WithTimeout(30 * time.Second).Should(BeNumerically(">=", asked+int64(8*len(all))))
		for _, s := range all {
			r := s.get(ctx)
			Expect(inForce(stepName(0))(r)).To(BeTrue(), describe(r))
			Expect(r.Status.Abort).To(BeNil(), describe(r))
			Expect(s.weight(ctx)).To(Equal(int32(25)))
		}
		fake.healed.Store(true)
		for _, s := range all {
			s.eventually(ctx, "promoted", serves(revisions[s]))
		}
		rest(ctx, all...)
	}, SpecTimeout(3*time.Minute))

	It("holds while the real Prometheus is away", func(ctx SpecContext) {
		s := newService("prometheus-away", bake(25, 4*time.Second), bake(50, time.Second))
		s.Metrics = errorRatio()
		deploy(ctx, s)
		Expect(cluster.StopPrometheus()).To(Succeed())
		revision := s.release(ctx, "v2")
		s.eventually(ctx, "in force", inForce(stepName(0)))
		s.keeps(ctx, 6*time.Second, "held", func(r *v1alpha1.Rollout) bool {
			return inForce(stepName(0))(r) && r.Status.Abort == nil
		})
		Expect(cluster.StartPrometheus(ctx)).To(Succeed())
		s.within(ctx, time.Minute, "promoted", serves(revision))
		rest(ctx, s)
	}, SpecTimeout(3*time.Minute))
})
