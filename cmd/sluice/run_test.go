package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	sluiceenvtest "github.com/sluice-dev/sluice/internal/envtest"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

const rolloutYAML = `
apiVersion: sluice.dev/v1alpha1
kind: Rollout
metadata: {name: checkout, namespace: default}
spec:
  selector: {matchLabels: {app: checkout}}
  workload: {template: {metadata: {labels: {app: checkout}}, spec: {containers: [{name: app, image: a}]}}}
  strategy: {canary: {steps: [{weight: 10}]}}
  traffic:
    gatewayAPI:
      routes: [{kind: GRPCRoute, name: checkout}]
      services: {stable: checkout, canary: checkout-canary}
`

// TestKindsThatAreInstalledLater starts the operator in a cluster that has no kind
// of routing objects but Services. A Rollout that wants another says so, and what is
// installed then is found.
func TestKindsThatAreInstalledLater(t *testing.T) {
	g := gomega.NewWithT(t)
	g.SetDefaultEventuallyTimeout(time.Minute)
	crds, err := sluiceenvtest.SluiceCRDs()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	gatewayCRDs, err := sluiceenvtest.GatewayCRDs()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	config := sluiceenvtest.Start(t, crds)
	scheme, err := newScheme()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(gomega.HaveOccurred())

	ctx, stop := context.WithCancel(t.Context())
	o := options{
		leaseDuration: 3 * time.Second, discoveryInterval: time.Second, concurrency: 1,
		metricsAddress: "0", probeAddress: "0", profileAddress: "0", clusterDomain: "cluster.local",
	}
	o.alerts.addFlags(pflag.NewFlagSet("defaults", pflag.ContinueOnError))
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, config, o) }()
	defer func() {
		stop()
		g.Expect(<-ended).To(gomega.Succeed())
	}()

	for _, name := range []string{"checkout", "checkout-canary"} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		service.Spec.Ports = []corev1.ServicePort{{Port: 80}}
		g.Expect(c.Create(ctx, service)).To(gomega.Succeed())
	}
	rollout := &unstructured.Unstructured{}
	g.Expect(yaml.Unmarshal([]byte(rolloutYAML), rollout)).To(gomega.Succeed())
	g.Expect(c.Create(ctx, rollout)).To(gomega.Succeed())
	stalled := func() string {
		var now v1alpha1.Rollout
		if err := c.Get(ctx, client.ObjectKeyFromObject(rollout), &now); err != nil {
			return err.Error()
		}
		condition := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionStalled)
		if condition == nil {
			return "not stalled"
		}
		return condition.Reason + ": " + condition.Message
	}
	g.Eventually(stalled).Should(gomega.And(
		gomega.HavePrefix(v1alpha1.ReasonObjectMissing),
		gomega.ContainSubstring("the cluster has no kind GRPCRoute in gateway.networking.k8s.io/v1: install the Gateway API 1.1 or newer")))

	_, err = envtest.InstallCRDs(config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(gatewayCRDs, "gateway.networking.k8s.io_grpcroutes.yaml")}, ErrorIfPathMissing: true,
	})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Eventually(stalled).Should(gomega.ContainSubstring("GRPCRoute default/checkout does not exist: create it"))
}
