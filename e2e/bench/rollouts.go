package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/demo"
	"github.com/sluice-dev/sluice/internal/localcluster"
)

const (
	namespace = "bench"
	// parallel is how many objects are written at a time.
	parallel = 32
	// propagation is a Rollout's default.
	propagation = time.Second
	// drain is shorter than a Rollout's default, so that the last writes of a
	// release are among those that are counted.
	drain = 2 * time.Second
	// settle bounds how long a fleet may take to get somewhere.
	settle = 5 * time.Minute
)

// fleet are Rollouts that are alike, with one replica each.
type fleet struct {
	b       *bench
	names   []string
	service demo.Service
}

// newFleet deploys n Rollouts with their routing, and waits until all are ready.
func (b *bench) newFleet(ctx context.Context, n int, service demo.Service) (*fleet, error) {
	service.Namespace, service.Replicas, service.Version = namespace, 1, "v1"
	service.Image = localcluster.PauseImage
	service.Propagation, service.Drain = propagation, drain
	f := &fleet{b: b, service: service}
	for i := range n {
		f.names = append(f.names, fmt.Sprintf("app-%03d", i))
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := b.create(ctx, corev1.SchemeGroupVersion.WithResource("namespaces"), "", ns); err != nil {
		return nil, err
	}
	if err := f.each(ctx, f.deploy); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return f, b.states.awaitAll(ctx, "the fleet to be deployed", f.names, func(s state) bool { return s.ready })
}

// each does something with every Rollout, some at a time.
func (f *fleet) each(ctx context.Context, do func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, name := range f.names {
		group.Go(func() error { return do(ctx, name) })
	}
	return group.Wait()
}

func (f *fleet) deploy(ctx context.Context, name string) error {
	service := f.service
	service.Name = name
	resources := map[string]schema.GroupVersionResource{
		"Service":         corev1.SchemeGroupVersion.WithResource("services"),
		"DestinationRule": virtualServices.GroupVersion().WithResource("destinationrules"),
		"VirtualService":  virtualServices,
	}
	for document := range strings.SplitSeq(service.RoutingYAML(), "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return fmt.Errorf("reading the routing of %s: %w", name, err)
		}
		o := &unstructured.Unstructured{Object: object}
		resource, ok := resources[o.GetKind()]
		if !ok {
			continue // the namespace
		}
		if _, err := f.b.client.Resource(resource).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating %s %s: %w", o.GetKind(), name, err)
		}
	}
	rollout, err := service.Rollout()
	if err != nil {
		return err
	}
	rollout.Spec.Alerts = slices.Clone(rollout.Spec.Alerts) // the service's are everybody's
	for i := range rollout.Spec.Alerts {
		rule := &rollout.Spec.Alerts[i]
		rule.Matchers = append(slices.Clone(rule.Matchers), fmt.Sprintf("rollout=%q", name))
	}
	return f.b.create(ctx, rollouts, namespace, rollout)
}

// release has every Rollout release a version, as fast as the updates can be
// written. It returns the moment before the first.
func (f *fleet) release(ctx context.Context, version string) (time.Time, error) {
	started := time.Now()
	patch, err := json.Marshal([]any{map[string]any{
		"op": "replace", "path": "/spec/workload/template/spec/containers/0/image",
		"value": localcluster.PauseImage + ":" + version,
	}})
	if err != nil {
		return started, fmt.Errorf("writing a patch: %w", err)
	}
	return started, f.each(ctx, func(ctx context.Context, name string) error {
		_, err := f.b.client.Resource(rollouts).Namespace(namespace).Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return fmt.Errorf("updating Rollout %s: %w", name, err)
		}
		return nil
	})
}

// awaitHeld waits until every Rollout is in a step, with its weight in force.
func (f *fleet) awaitHeld(ctx context.Context, step string) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return f.b.states.awaitAll(ctx, "the fleet to be in step "+step, f.names, func(s state) bool {
		return s.step == step && s.inForce
	})
}

// abort commands a Rollout to abort. It returns the moments before the request
// was sent and after it was answered.
func (f *fleet) abort(ctx context.Context, name string) (sent, answered time.Time, err error) {
	action := &v1alpha1.RolloutAction{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-abort"},
		Spec: v1alpha1.RolloutActionSpec{
			Rollout: name, Action: v1alpha1.ActionAbort, Revision: f.b.states.get(name).canary, Reason: "measuring",
		},
	}
	sent = time.Now()
	err = f.b.create(ctx, actions, namespace, action)
	return sent, time.Now(), err
}

// create creates a typed object.
func (b *bench) create(ctx context.Context, resource schema.GroupVersionResource, namespace string, object metav1.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("writing %s %s: %w", resource.Resource, object.GetName(), err)
	}
	delete(content, "status")
	o := &unstructured.Unstructured{Object: content}
	kinds := map[string]string{"namespaces": "Namespace", "rollouts": "Rollout", "rolloutactions": "RolloutAction"}
	o.SetGroupVersionKind(resource.GroupVersion().WithKind(kinds[resource.Resource]))
	if _, err := b.client.Resource(resource).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating %s %s: %w", resource.Resource, object.GetName(), err)
	}
	return nil
}

// held is a step that only a person can pass.
func held() []v1alpha1.Step {
	return []v1alpha1.Step{{Name: "held", Weight: 50, Approval: v1alpha1.ApprovalRequired}}
}

// measured is a metric that passes unless its Rollout was turned bad.
func measured(interval time.Duration) v1alpha1.Metric {
	return v1alpha1.Metric{
		Name: "bad", Query: badQuery, SuccessWhen: "value < 0.5", Count: 1,
		Interval: &metav1.Duration{Duration: interval},
	}
}
