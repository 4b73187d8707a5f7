package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

const (
	// NodeName is the one node that every pod is bound to.
	NodeName = "localcluster"
	// podWorkers bounds the API requests that the runner has in flight.
	podWorkers = 16
	// drainLimit bounds how long requests in flight may hold a pod that is
	// past its grace period.
	drainLimit = 5 * time.Second
)

// podRunner stands in for the scheduler and the kubelet: it binds pods, gives
// them addresses, serves their app and reports their status.
//
// Work on one pod is serialised by the queue. mu guards what SetReady and
// FailPod share with that work.
type podRunner struct {
	client kubernetes.Interface
	lister corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	clock  clock.Clock
	ips    *ipPool
	nodeIP string
	log    logr.Logger
	drains sync.WaitGroup
	slow   slowdowns

	mu   sync.Mutex
	pods map[types.NamespacedName]*podState
}

// startPods creates the node and runs pods until stopPods is called.
func (c *Cluster) startPods(ctx context.Context) error {
	started := time.Now()
	config := c.AdminConfig()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client for pods: %w", err)
	}
	logFile, err := os.OpenFile(c.path("logs/pods.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of pods: %w", err)
	}
	r := &podRunner{
		client: client, ips: c.ips, nodeIP: c.nodeIP, clock: clock.RealClock{},
		pods: map[types.NamespacedName]*podState{},
		log:  lineLogger(logFile),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](10*time.Millisecond, 5*time.Second)),
	}
	if err := r.createNode(ctx); err != nil {
		return errors.Join(err, logFile.Close())
	}
	stop, err := r.start(ctx)
	if err != nil {
		return errors.Join(err, logFile.Close())
	}
	c.pods = r
	c.stopPods = func() {
		stop()
		_ = logFile.Close()
	}
	c.say("pod runner up", started)
	return nil
}

// lineLogger writes one line an entry.
func lineLogger(w io.Writer) logr.Logger {
	return funcr.New(func(prefix, args string) {
		_, _ = fmt.Fprintln(w, time.Now().Format(time.RFC3339Nano), prefix, args)
	}, funcr.Options{})
}

// createNode makes the Node that pods are bound to: without one, the
// EndpointSlice controller skips them.
func (r *podRunner) createNode(ctx context.Context) error {
	node, err := r.client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:   NodeName,
			Labels: map[string]string{corev1.LabelHostname: NodeName, corev1.LabelOSStable: "linux"},
		},
		Spec: corev1.NodeSpec{PodCIDR: PodCIDR, PodCIDRs: []string{PodCIDR}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the node: %w", err)
	}
	now := metav1.NewTime(r.clock.Now())
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1000"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   resource.MustParse("50k"),
	}
	node.Status = corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: r.nodeIP}, {Type: corev1.NodeHostName, Address: NodeName},
		},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "PodRunnerReady",
			LastHeartbeatTime: now, LastTransitionTime: now,
		}},
	}
	if _, err := r.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("report the node ready: %w", err)
	}
	return nil
}

// start watches pods and works on them until stop is called; stop returns
// when nothing serves any more.
func (r *podRunner) start(ctx context.Context) (stop func(), err error) {
	runCtx, cancel := context.WithCancel(logr.NewContext(context.WithoutCancel(ctx), r.log))
	factory := informers.NewSharedInformerFactoryWithOptions(r.client, 0,
		informers.WithTransform(dropManagedFields))
	informer := factory.Core().V1().Pods()
	r.lister = informer.Lister()
	enqueue := func(o any) {
		if key, err := cache.DeletionHandlingObjectToName(o); err == nil {
			r.queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, o any) { enqueue(o) }, DeleteFunc: enqueue,
	}); err != nil {
		cancel()
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	factory.StartWithContext(runCtx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		cancel()
		return nil, fmt.Errorf("watch pods: %w", ctx.Err())
	}
	var workers sync.WaitGroup
	for range podWorkers {
		workers.Go(func() {
			for r.workOnce(runCtx) {
			}
		})
	}
	return func() {
		cancel()
		r.queue.ShutDown()
		workers.Wait()
		factory.Shutdown()
		r.stopServing()
	}, nil
}

// dropManagedFields saves the memory of what nobody here reads.
func dropManagedFields(o any) (any, error) {
	if accessor, err := meta.Accessor(o); err == nil {
		accessor.SetManagedFields(nil)
	}
	return o, nil
}

func (r *podRunner) workOnce(ctx context.Context) bool {
	key, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(key)
	if err := r.work(ctx, key); err != nil {
		if ctx.Err() == nil {
			r.log.Error(err, "Pod not handled", "pod", key)
		}
		r.queue.AddRateLimited(key)
		return true
	}
	r.queue.Forget(key)
	return true
}

// stopServing closes every server at the cluster's end.
func (r *podRunner) stopServing() {
	r.mu.Lock()
	servers := make([]*podServer, 0, len(r.pods))
	for _, s := range r.pods {
		if s.server != nil {
			servers = append(servers, s.server)
		}
	}
	r.mu.Unlock()
	for _, s := range servers {
		s.stop()
	}
	r.drains.Wait()
}

// SetReady makes a running pod ready or unready, as a readiness probe would.
// An unready pod keeps serving whoever still reaches it.
func (c *Cluster) SetReady(namespace, name string, ready bool) error {
	return c.withPod(namespace, name, func(s *podState) { s.unready = !ready })
}

// FailPod kills a pod's app: its connections are cut and its phase becomes
// Failed, so that its ReplicaSet replaces it.
func (c *Cluster) FailPod(namespace, name string) error {
	return c.withPod(namespace, name, func(s *podState) { s.failed = true })
}

func (c *Cluster) withPod(namespace, name string, change func(*podState)) error {
	if c.pods == nil {
		return errors.New("the cluster was started without a pod runner")
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	s, ok := c.pods.pods[key]
	if !ok || s.ip == "" {
		return fmt.Errorf("pod %s is not running", key)
	}
	change(s)
	c.pods.queue.Add(key)
	return nil
}
