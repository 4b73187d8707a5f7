package main

import (
	"context"
	"fmt"
	"time"

	istionetworking "istio.io/client-go/pkg/apis/networking/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// sighting is an object as a watch delivered it, and when it did.
type sighting struct {
	at     time.Time
	object client.Object
	gone   bool
}

// newScheme knows what the playground reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, istionetworking.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// watchWorld delivers every version of the objects that a timeline tells of, until
// ctx ends. It returns once what is there has been read.
func watchWorld(ctx context.Context, config *rest.Config, scheme *runtime.Scheme, namespace string) (<-chan sighting, error) {
	objects, err := cache.New(config, cache.Options{
		Scheme:            scheme,
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		return nil, fmt.Errorf("watching the cluster: %w", err)
	}
	seen := make(chan sighting, 1024)
	send := func(object any, gone bool) {
		if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		o, ok := object.(client.Object)
		if !ok {
			return
		}
		select {
		case seen <- sighting{at: time.Now(), object: o, gone: gone}:
		case <-ctx.Done():
		}
	}
	for _, kind := range []client.Object{
		&v1alpha1.Rollout{}, &v1alpha1.AnalysisRun{}, &v1alpha1.RolloutAction{},
		&istionetworking.VirtualService{}, &istionetworking.DestinationRule{}, &corev1.Pod{},
	} {
		informer, err := objects.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { send(o, false) },
			UpdateFunc: func(_, o any) { send(o, false) },
			DeleteFunc: func(o any) { send(o, true) },
		})
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	go func() { _ = objects.Start(ctx) }() // returns when ctx ends
	if !objects.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watching the cluster: %w", context.Cause(ctx))
	}
	return seen, nil
}
