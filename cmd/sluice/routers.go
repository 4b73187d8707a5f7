package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-dev/sluice/trafficrouting/gatewayapi"
	"github.com/sluice-dev/sluice/trafficrouting/istio"
	"github.com/sluice-dev/sluice/trafficrouting/mux"
)

// routers makes the routers, over what the cluster has of their kinds. When it gets
// more of them, the manager stops with mux.ErrKindsAdded.
func (o *options) routers(mgr ctrl.Manager, config *rest.Config) (*mux.Router, []mux.Kind, error) {
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("setting up discovery: %w", err)
	}
	installed, err := mux.Discover(kinds, mgr.GetScheme(), slices.Concat(istio.Kinds(), gatewayapi.Kinds())...)
	if err != nil {
		return nil, nil, err
	}
	for _, gvk := range installed.Missing() {
		ctrl.Log.Info("The cluster does not have a kind of routing objects", "kind", gvk.String(), "lookedForEvery", o.discoveryInterval.String())
	}
	if err := mgr.Add(kindsWatch{installed, kinds, max(o.discoveryInterval, time.Second)}); err != nil {
		return nil, nil, fmt.Errorf("adding the watch for new kinds: %w", err)
	}
	c := installed.Client(mgr.GetClient())
	return mux.New(
		istio.Backend(c, istio.WithClusterDomain(o.clusterDomain)),
		gatewayapi.Backend(c),
	), installed.Kinds(), nil
}

// kindsWatch ends the manager when the cluster has kinds that it had not.
type kindsWatch struct {
	installed *mux.Installed
	discovery mux.Discovery
	every     time.Duration
}

// Start implements manager.Runnable.
func (w kindsWatch) Start(ctx context.Context) error {
	return w.installed.Await(ctx, w.discovery, w.every, clock.RealClock{})
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a replica that
// stands by has caches too.
func (kindsWatch) NeedLeaderElection() bool { return false }
