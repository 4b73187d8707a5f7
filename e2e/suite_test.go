//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/history"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

// Users that replicas of the operator run as: one each, so that the audit log
// tells them apart. Both have the shipped permissions.
const (
	replicaA = "sluice-replica-a"
	replicaB = "sluice-replica-b"
)

// lease is how long a leader that was killed keeps the lease.
const lease = 3 * time.Second

// binaryVariable names another operator than the one of this tree, to see what the
// suite says of it.
const binaryVariable = "SLUICE_E2E_OPERATOR"

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// prepare builds the operator outside, where modules can be had, and enters the
// cluster's namespaces.
func prepare() error {
	if !localcluster.Inside() && os.Getenv(binaryVariable) == "" {
		binary, err := filepath.Abs("../bin/sluice")
		if err != nil {
			return fmt.Errorf("finding bin: %w", err)
		}
		if out, err := exec.Command("go", "build", "-o", binary, "../cmd/sluice").CombinedOutput(); err != nil {
			return fmt.Errorf("building the operator: %w\n%s", err, out)
		}
		if err := os.Setenv(binaryVariable, binary); err != nil {
			return fmt.Errorf("passing the operator's path on: %w", err)
		}
	}
	return localcluster.Enter(localcluster.EnterOptions{Binaries: localcluster.AllTools()})
}

func TestScenarios(t *testing.T) {
	RegisterFailHandler(Fail)
	format.MaxLength = 0 // The history around a violation is long.
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	SetDefaultConsistentlyPollingInterval(50 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	config, reporter := GinkgoConfiguration()
	config.Timeout = max(35*time.Minute, soakTime()+5*time.Minute)
	RunSpecs(t, "Sluice on a local cluster", config, reporter)
}

// The one cluster of the suite.
var (
	cluster  *localcluster.Cluster
	kube     client.Client
	recorder *history.Recorder
	audit    *history.Audit
	checker  *history.Checker
	// operator is the replica that runs unless a scenario says otherwise.
	operator *demo.Operator
	// replicas counts what was started, to give logs names of their own.
	replicas int
)

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(logr.Discard())
	startCluster(ctx)
	Expect(demo.Install(ctx, cluster, "..")).To(Succeed())
	Expect(cluster.ApplyYAML(ctx, replicaBindings)).To(Succeed())
	operator = startReplica(ctx, replicaA)
}, NodeTimeout(3*time.Minute))

var _ = AfterSuite(func(ctx SpecContext) {
	if cluster == nil {
		return
	}
	if recorder != nil {
		catchUp(ctx)
		Expect(recorder.Close()).To(Succeed())
		Expect(checker.Report()).To(BeEmpty(), "the history of the suite")
	}
	Expect(cluster.Stop()).To(Succeed())
}, NodeTimeout(time.Minute))

func startCluster(ctx context.Context) {
	dir := os.Getenv("SLUICE_E2E_DIR")
	if dir == "" {
		dir = GinkgoT().TempDir()
	}
	Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
	policy, err := history.AuditPolicy(replicaA, replicaB)
	Expect(err).NotTo(HaveOccurred())
	policyPath, auditPath := filepath.Join(dir, "audit-policy.yaml"), filepath.Join(dir, "audit.log")
	Expect(os.WriteFile(policyPath, policy, 0o600)).To(Succeed())
	cluster, err = localcluster.Start(ctx, localcluster.Options{
		Dir: filepath.Join(dir, "cluster"), Log: GinkgoWriter, Istiod: true, Prometheus: true, Alertmanager: true,
		APIServerArgs: []string{
			"--storage-media-type=application/json",
			"--audit-policy-file=" + policyPath,
			"--audit-log-path=" + auditPath,
			"--audit-log-maxsize=4096",
		},
	})
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	Expect(istionetworking.AddToScheme(scheme)).To(Succeed())
	Expect(gatewayv1.Install(scheme)).To(Succeed())
	kube, err = client.New(cluster.AdminConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	audit, checker = history.OpenAudit(auditPath), history.New()
	recorder, err = history.Record(ctx, cluster.EtcdEndpoint())
	Expect(err).NotTo(HaveOccurred())
}

// replicaBindings give the replicas' users what is shipped for the service account.
const replicaBindings = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sluice-replicas}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaA + `}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaB + `}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sluice-replicas, namespace: ` + demo.SystemNamespace + `}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sluice-leader-election}
subjects:
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaA + `}
- {kind: User, apiGroup: rbac.authorization.k8s.io, name: ` + replicaB + `}
`

// startReplica runs an operator as a user and waits until it answers.
func startReplica(ctx context.Context, user string, args ...string) *demo.Operator {
	GinkgoHelper()
	replicas++
	name := fmt.Sprintf("sluice-%d", replicas)
	kubeconfig := filepath.Join(cluster.Dir(), name+"-replica.kubeconfig")
	Expect(cluster.WriteKubeconfig(user, kubeconfig, "")).To(Succeed())
	o, err := demo.StartOperator(ctx, cluster, demo.OperatorOptions{
		Name: name, Binary: os.Getenv(binaryVariable), LeaseDuration: lease,
		Args: append([]string{"--kubeconfig=" + kubeconfig, "--discovery-interval=1s"}, args...),
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(o.WaitReady(ctx)).To(Succeed())
	return o
}

// killOperator ends the operator as a crash would, and starts it again.
func killOperator(ctx context.Context) {
	GinkgoHelper()
	Expect(operator.Kill()).To(Succeed())
	operator = startReplica(ctx, replicaA)
}

// settle is how long the audit log may lag behind the store.
const settle = 300 * time.Millisecond

// waiting are versions too young to know who wrote them.
var waiting []history.Version

// catchUp brings the checker up to what was stored until just now.
func catchUp(ctx context.Context) {
	GinkgoHelper()
	taken, err := recorder.Take(ctx)
	Expect(err).NotTo(HaveOccurred())
	waiting = append(waiting, taken...)
	known := 0
	for known < len(waiting) && time.Since(waiting[known].Seen) > settle {
		known++
	}
	Expect(audit.Read()).To(Succeed())
	audit.Attribute(waiting[:known])
	for _, v := range waiting[:known] {
		checker.Add(v)
	}
	waiting = waiting[known:]
}

// exempt tells the checker of a fault that the scenario is about to cause.
func exempt(ctx context.Context, namespace string, invariants ...history.Invariant) {
	GinkgoHelper()
	catchUp(ctx)
	checker.Exempt(namespace, invariants...)
}

// logTail returns the end of a file.
func logTail(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	out, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(out), "?")
}
