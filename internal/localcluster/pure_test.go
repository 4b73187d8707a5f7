//go:build !e2e

package localcluster

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

func TestParseDemoTag(t *testing.T) {
	for tag, want := range map[string]Behaviour{
		"v1":                           {},
		"v2-errors-20":                 {ErrorRate: 0.2},
		"v2-errors-0.5":                {ErrorRate: 0.005},
		"v3-latency-200ms":             {Latency: 200 * time.Millisecond},
		"v4-start-3s":                  {StartDelay: 3 * time.Second},
		"v5-errors-1-latency-2s":       {ErrorRate: 0.01, Latency: 2 * time.Second},
		"v5-errors-100-after-1m":       {ErrorRate: 1, GoodFor: time.Minute},
		"v6-start-1ms-errors-100":      {ErrorRate: 1, StartDelay: time.Millisecond},
		"2026.11-latency-0s-errors-0.": {},
	} {
		want.Version = tag
		if got, err := ParseDemoTag(tag); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", tag, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "-errors-20", "v1-errors", "v1-error-20", "v1-errors-101", "v1-errors--1", "v1-errors-NaN",
		"v1-latency-5", "v1-latency--5s", "v1-start-2h",
	} {
		if got, err := ParseDemoTag(bad); err == nil {
			t.Errorf("%q: accepted as %+v", bad, got)
		}
	}
}

// TestErrorsAfter holds that a version can be good for a while.
func TestErrorsAfter(t *testing.T) {
	s, err := newDemoServer(&corev1.Pod{}, Behaviour{ErrorRate: 1, GoodFor: time.Hour}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.fails(s.badFrom.Add(-time.Nanosecond)) || !s.fails(s.badFrom) {
		t.Error("requests do not begin to fail when they should")
	}
}

func TestBehaviourOfOtherImages(t *testing.T) {
	for _, image := range []string{"nginx:1.27-alpine", "localcluster/pause", "sluice.dev/demolition:x-y"} {
		if b, err := behaviourOf(image); err != nil || b.ErrorRate != 0 || b.Latency != 0 {
			t.Errorf("%s: got %+v, %v", image, b, err)
		}
	}
}

func TestCacheKey(t *testing.T) {
	base := tool{name: "etcd", pkg: "p", flags: []string{"-trimpath"}}
	linux := platform{"go1.26.8", "linux", "amd64"}
	key := base.cacheKey(linux, []byte("mod"), []byte("sum"))
	if again := base.cacheKey(linux, []byte("mod"), []byte("sum")); again != key {
		t.Errorf("%s then %s for the same inputs", key, again)
	}
	flags := base
	flags.flags = []string{"-trimpath", "-tags=x"}
	seen := map[string]string{key: "the first"}
	for what, other := range map[string]string{
		"go.mod":       base.cacheKey(linux, []byte("mod2"), []byte("sum")),
		"go.sum":       base.cacheKey(linux, []byte("mod"), []byte("sum2")),
		"the boundary": base.cacheKey(linux, []byte("mods"), []byte("um")),
		"flags":        flags.cacheKey(linux, []byte("mod"), []byte("sum")),
		"Go":           base.cacheKey(platform{"go1.26.9", "linux", "amd64"}, []byte("mod"), []byte("sum")),
		"architecture": base.cacheKey(platform{"go1.26.8", "linux", "arm64"}, []byte("mod"), []byte("sum")),
	} {
		if earlier, ok := seen[other]; ok {
			t.Errorf("%s and %s share the key %s", what, earlier, other)
		}
		seen[other] = what
	}
}

func TestLocateBinaries(t *testing.T) {
	cache, assets := t.TempDir(), t.TempDir()
	t.Setenv("SLUICE_CACHE", cache)
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	if _, err := locateBinaries(ToolEtcd); err == nil || !strings.Contains(err.Error(), cache) {
		t.Errorf("an empty cache: got %v", err)
	}
	for _, name := range []string{ToolEtcd, ToolAPIServer} {
		if err := os.WriteFile(filepath.Join(assets, name), []byte("x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found, err := EnsureBinaries(t.Context(), nil, ToolEtcd, ToolAPIServer)
	if err != nil || found.Etcd != filepath.Join(assets, ToolEtcd) {
		t.Errorf("assets are not used: %+v, %v", found, err)
	}
	if dir, err := found.Assets(); err != nil || dir != assets {
		t.Errorf("assets folder %q, %v", dir, err)
	}
	if _, err := locateBinaries("kubelet"); err == nil {
		t.Error("an unknown program was found")
	}
}

func TestAssetsLinksBothPrograms(t *testing.T) {
	t.Setenv("SLUICE_CACHE", t.TempDir())
	source := t.TempDir()
	b := Binaries{Etcd: filepath.Join(source, "1", "etcd"), APIServer: filepath.Join(source, "2", "kube-apiserver")}
	for range 2 { // the second time finds the links
		dir, err := b.Assets()
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{ToolEtcd: b.Etcd, ToolAPIServer: b.APIServer} {
			if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

func TestLockFileExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lockFile(ctx, path, cancel) // gives up once it has to wait
	if err == nil {
		t.Fatal("taken twice")
	}
	unlock()
	unlock, err = lockFile(t.Context(), path, func() { t.Error("it is free") })
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestIPPool(t *testing.T) {
	pool, err := newIPPool("10.0.0.0/29")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 7 {
		ip, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ip)
	}
	if slices.Contains(got, "10.0.0.0") || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 7 {
		t.Errorf("gave out %v", got)
	}
	if ip, err := pool.take(); err == nil {
		t.Errorf("gave out %s while all are taken", ip)
	}
	pool.release("")
	pool.release("10.0.0.3")
	if ip, err := pool.take(); err != nil || ip != "10.0.0.3" {
		t.Errorf("got %s, %v", ip, err)
	}
}

func TestIPPoolReusesLate(t *testing.T) {
	pool, err := newIPPool("10.0.0.0/24")
	if err != nil {
		t.Fatal(err)
	}
	for want := range 254 {
		ip, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}
		pool.release(ip)
		if want > 0 && ip == "10.0.0.1" {
			t.Fatalf("reused after %d addresses", want)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	content, err := kubeconfig(&rest.Config{
		Host: "https://127.0.0.1:1", BearerToken: "secret", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca")},
	}, "somebody")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" || config.BearerToken != "secret" || string(config.CAData) != "ca" {
		t.Errorf("got %+v", config)
	}
}

func TestUsers(t *testing.T) {
	all := newTokens([]User{{Name: "eve", Groups: []string{"a", "b"}}})
	if got := all[OperatorUser].Groups; !slices.Equal(got, []string{"system:serviceaccounts", "system:serviceaccounts:sluice-system"}) {
		t.Errorf("the operator is in %v", got)
	}
	content, err := all.csv()
	if err != nil {
		t.Fatal(err)
	}
	if want := all["eve"].token + `,eve,2,"a,b"`; !strings.Contains(string(content), want) {
		t.Errorf("no line %q in\n%s", want, content)
	}
	if all["eve"].token == all[AdminUser].token || len(all["eve"].token) < 20 {
		t.Error("tokens are not secret")
	}
}

func TestPlanPod(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To(int64(3)),
		Containers:                    []corev1.Container{{Name: "app", Image: "sluice.dev/demo:v1-start-1s"}},
	}}
	if p := planPod(pod); p.startDelay != time.Second || p.drain != 3*time.Second || p.invalid != "" {
		t.Errorf("got %+v", p)
	}
	pod.Annotations = map[string]string{AnnotationStartupDelay: "2s", AnnotationDrain: "1m", AnnotationNeverReady: "true"}
	if p := planPod(pod); p.startDelay != 3*time.Second || p.drain != time.Minute || !p.neverReady {
		t.Errorf("annotations: got %+v", p)
	}
	pod.Annotations = map[string]string{AnnotationStartupDelay: "soon"}
	if p := planPod(pod); p.invalid == "" {
		t.Error("a wrong duration was accepted")
	}
	pod.Annotations = nil
	pod.Spec.Containers[0].Image = "sluice.dev/demo:v1-error-20"
	if p := planPod(pod); p.invalid == "" {
		t.Error("a wrong tag was accepted")
	}
	pod.Spec.Containers[0].Image = PauseImage + ":1"
	if p := planPod(pod); !p.pause || p.drain != 0 {
		t.Errorf("pause: got %+v", p)
	}
	pod.Spec.Containers[0].Image = "nginx"
	pod.DeletionGracePeriodSeconds = ptr.To(int64(9))
	if p := planPod(pod); p.drain != 9*time.Second {
		t.Errorf("deletion with its own grace period: got %+v", p)
	}
}

func TestIdentityFollowsTheMesh(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "shop-7d9-abc", Namespace: "demo",
		Labels: map[string]string{"app": "shop", "pod-template-hash": "7d9", "version": "v2"},
		OwnerReferences: []metav1.OwnerReference{
			{Kind: "ReplicaSet", Name: "shop-7d9", Controller: ptr.To(true)},
		},
	}}
	id := identityOf(pod, "v2")
	for key, want := range map[string]string{
		TrailerWorkload: "shop", TrailerRevision: "7d9", TrailerCanonicalService: "shop", TrailerCanonicalRevision: "v2",
	} {
		if got := id.Get(key); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %s", key, got, want)
		}
	}
	pod.Labels["service.istio.io/canonical-revision"] = "7d9"
	if got := identityOf(pod, "v2").Get(TrailerCanonicalRevision); got[0] != "7d9" {
		t.Errorf("canonical revision %v", got)
	}
}

func TestPodStatus(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "x"}}}}
	ready := func(s corev1.PodStatus) corev1.ConditionStatus {
		i := slices.IndexFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
		return s.Conditions[i].Status
	}
	running := podStatus(pod, NodeName, "10.244.0.1", podFacts{ip: "10.244.0.2", ready: true})
	if running.Phase != corev1.PodRunning || ready(running) != corev1.ConditionTrue || running.ContainerStatuses[0].State.Running == nil {
		t.Errorf("running: %+v", running)
	}
	killed := podStatus(pod, NodeName, "10.244.0.1", podFacts{killed: true})
	if killed.Phase != corev1.PodFailed || ready(killed) != corev1.ConditionFalse || killed.ContainerStatuses[0].State.Terminated == nil {
		t.Errorf("killed: %+v", killed)
	}
	waiting := podStatus(pod, NodeName, "10.244.0.1", podFacts{waiting: "bad tag"})
	if waiting.Phase != corev1.PodPending || waiting.ContainerStatuses[0].State.Waiting == nil {
		t.Errorf("waiting: %+v", waiting)
	}
}

func TestParseTarget(t *testing.T) {
	got, err := parseTarget("xds:///app.demo.svc.cluster.local:80")
	if want := (destination{"app.demo.svc.cluster.local", "app", "demo"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "dns:///app.demo.svc:80", "xds:///app:80", "app.demo.svc.cluster.local:80"} {
		if _, err := parseTarget(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestDecodeManifest(t *testing.T) {
	objects, err := decodeManifest([]byte("# nothing\n---\nkind: A\napiVersion: v1\n---\n\n---\n" +
		`{"kind":"List","apiVersion":"v1","items":[{"kind":"B","apiVersion":"v1"},{"kind":"C","apiVersion":"v1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.GetKind())
	}
	if strings.Join(kinds, "") != "ABC" {
		t.Errorf("got %v", kinds)
	}
	if _, err := decodeManifest([]byte("a: [")); err == nil {
		t.Error("broken YAML was accepted")
	}
}

func TestManifestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", "kustomization.yaml", "README.md", "c.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := manifestFiles([]string{dir, filepath.Join(dir, "README.md")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	if got := strings.Join(files, " "); got != "a.yml b.yaml c.json README.md" {
		t.Errorf("got %s", got)
	}
}

func TestPrometheusConfig(t *testing.T) {
	got, err := prometheusConfig(250*time.Millisecond, []scrapeTarget{{"a", "1:1"}, {"b", "2:2"}, {"a", "3:3"}}, "4:4")
	if err != nil {
		t.Fatal(err)
	}
	want := `alerting:
  alertmanagers:
  - static_configs:
    - targets:
      - "4:4"
global:
  evaluation_interval: 250ms
  scrape_interval: 250ms
  scrape_timeout: 250ms
rule_files:
- rules.yaml
scrape_configs:
- job_name: a
  static_configs:
  - targets:
    - "1:1"
    - "3:3"
- job_name: b
  static_configs:
  - targets:
    - "2:2"`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}
