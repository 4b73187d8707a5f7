package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sluice-dev/sluice/internal/localcluster"
)

// SystemNamespace is where Sluice's own objects are.
const SystemNamespace = "sluice-system"

// Install brings Sluice's resource definitions, permissions and policy into a cluster,
// as shipped in config/.
func Install(ctx context.Context, c *localcluster.Cluster, root string) error {
	if err := c.ApplyYAML(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+SystemNamespace+"}\n"); err != nil {
		return fmt.Errorf("creating namespace %s: %w", SystemNamespace, err)
	}
	if err := c.Apply(ctx, filepath.Join(root, "config", "crd")); err != nil {
		return fmt.Errorf("applying config/crd: %w", err)
	}
	permissions, err := readPermissions(filepath.Join(root, "config", "rbac"))
	if err != nil {
		return err
	}
	if err := c.ApplyObjects(ctx, permissions...); err != nil {
		return fmt.Errorf("applying config/rbac: %w", err)
	}
	policy := filepath.Join(root, "config", "policy")
	if err := c.Apply(ctx, filepath.Join(policy, "rolloutactions.yaml"), filepath.Join(policy, "rolloutactions_binding.yaml")); err != nil {
		return fmt.Errorf("applying config/policy: %w", err)
	}
	return nil
}

// readPermissions reads the manifests of a folder and puts what has no namespace
// into Sluice's own, as config/default does with kustomize.
func readPermissions(dir string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		found, err := readManifest(file)
		if err != nil {
			return nil, err
		}
		for _, object := range found {
			if !strings.HasPrefix(object.GetKind(), "Cluster") {
				object.SetNamespace(SystemNamespace)
			}
			objects = append(objects, object)
		}
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("no permissions in %s", dir)
	}
	return objects, nil
}

// readManifest reads the objects of a file.
func readManifest(file string) ([]*unstructured.Unstructured, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// OperatorOptions say how to run a replica of the operator.
type OperatorOptions struct {
	// Name tells replicas apart; it names the log.
	Name string
	// Binary is the operator's executable.
	Binary string
	// Prometheus is the address of the default provider; the cluster's own
	// without it.
	Prometheus string
	// APIServer is the URL to talk to, for a proxy in between; the cluster's own
	// without it.
	APIServer string
	// LeaseDuration of the leader election; 3 seconds without it.
	LeaseDuration time.Duration
	// Args are further flags.
	Args []string
}

// Operator is a running replica.
type Operator struct {
	*localcluster.Process
	// MetricsAddr and ProbeAddr are where it serves.
	MetricsAddr, ProbeAddr string
}

// StartOperator starts a replica with the shipped permissions, and does not wait
// for it.
func StartOperator(ctx context.Context, c *localcluster.Cluster, o OperatorOptions) (*Operator, error) {
	if o.Prometheus == "" {
		o.Prometheus = c.PrometheusURL()
	}
	if o.APIServer == "" {
		o.APIServer = c.APIServerURL()
	}
	if o.LeaseDuration == 0 {
		o.LeaseDuration = 3 * time.Second
	}
	kubeconfig := filepath.Join(c.Dir(), o.Name+".kubeconfig")
	if err := c.WriteKubeconfig(localcluster.OperatorUser, kubeconfig, o.APIServer); err != nil {
		return nil, fmt.Errorf("writing the operator's kubeconfig: %w", err)
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"--kubeconfig=" + kubeconfig,
		"--prometheus-address=" + o.Prometheus,
		"--allow-loopback-metrics",
		"--allow-loopback-notifications",
		"--leader-election-namespace=" + SystemNamespace,
		"--lease-duration=" + o.LeaseDuration.String(),
		"--metrics-bind-address=" + addrs[0],
		"--health-probe-bind-address=" + addrs[1],
	}, o.Args...)
	process, err := c.StartProcess(ctx, o.Name, o.Binary, args, nil)
	if err != nil {
		return nil, fmt.Errorf("starting operator %s: %w", o.Name, err)
	}
	return &Operator{Process: process, MetricsAddr: addrs[0], ProbeAddr: addrs[1]}, nil
}

// WaitReady waits until the operator answers its readiness probe.
func (o *Operator) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if o.ready(ctx) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-o.Done():
			return fmt.Errorf("operator %s ended: see %s", o.Name(), o.LogPath())
		case <-ctx.Done():
			return fmt.Errorf("waiting for operator %s (log: %s): %w", o.Name(), o.LogPath(), ctx.Err())
		}
	}
}

func (o *Operator) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.ProbeAddr+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// freeAddrs finds loopback addresses that nothing listens on.
func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
