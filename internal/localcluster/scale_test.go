//go:build e2e

package localcluster_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

// TestThousandsOfPods brings two thousand pods up and down again.
func TestThousandsOfPods(t *testing.T) {
	const sets, each = 100, 20
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(3 * time.Minute)
	g.SetDefaultEventuallyPollingInterval(500 * time.Millisecond)
	ctx := t.Context()
	cluster, err := localcluster.Start(ctx, localcluster.Options{Dir: t.TempDir()})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(cluster.Stop()).To(Succeed()) }()
	kube := kubernetes.NewForConfigOrDie(cluster.AdminConfig())

	started := time.Now()
	for i := range sets {
		labels := map[string]string{"set": fmt.Sprint(i)}
		_, err := kube.AppsV1().ReplicaSets("default").Create(ctx, &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("set-%d", i)},
			Spec: appsv1.ReplicaSetSpec{
				Replicas: ptr.To(int32(each)),
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{Containers: []corev1.Container{
						{Name: "app", Image: localcluster.PauseImage, Ports: []corev1.ContainerPort{{ContainerPort: 80}}},
					}},
				},
			},
		}, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
	}
	ready := func() (int32, error) {
		list, err := kube.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return 0, err
		}
		total := int32(0)
		for i := range list.Items {
			total += list.Items[i].Status.ReadyReplicas
		}
		return total, nil
	}
	g.Eventually(ready).Should(Equal(int32(sets * each)))
	t.Logf("%d pods ready after %s", sets*each, time.Since(started).Round(100*time.Millisecond))

	addresses := map[string]string{}
	pods, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	for i := range pods.Items {
		ip := pods.Items[i].Status.PodIP
		g.Expect(addresses).NotTo(HaveKey(ip), "two pods share an address")
		addresses[ip] = pods.Items[i].Name
	}

	started = time.Now()
	policy := metav1.DeletePropagationBackground
	g.Expect(kube.AppsV1().ReplicaSets("default").DeleteCollection(
		ctx, metav1.DeleteOptions{PropagationPolicy: &policy}, metav1.ListOptions{})).To(Succeed())
	g.Eventually(func() (int, error) {
		list, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return 0, err
		}
		return len(list.Items), nil
	}).Should(BeZero())
	t.Logf("gone after %s", time.Since(started).Round(100*time.Millisecond))
}
