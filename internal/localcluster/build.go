package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Binaries holds the absolute paths of what a cluster is made of. A field is
// empty when that program was not asked for.
type Binaries struct {
	Etcd              string
	APIServer         string
	ControllerManager string
	Istiod            string
	// IstioCRDs is the file with Istio's CustomResourceDefinitions; it comes
	// with Istiod.
	IstioCRDs    string
	Prometheus   string
	Alertmanager string
	Envoy        string
}

// MissingBinaryError says which program is neither in the cache nor in
// KUBEBUILDER_ASSETS.
type MissingBinaryError struct {
	Name string
	Path string
}

func (e *MissingBinaryError) Error() string {
	return fmt.Sprintf("%s is not built (looked for %s): run \"go run ./internal/localcluster/cmd/build %s\" "+
		"outside the cluster's namespaces first", e.Name, e.Path, e.Name)
}

// EnsureBinaries returns the named programs (all that Go can build when none is
// named), building or fetching what is missing into a cache outside the source tree:
// $SLUICE_CACHE, or the user's cache folder. Builds take minutes and need the
// Go module proxy; progress goes to log, which may be nil. Programs that are
// there already cost a file look-up and no go command. Two callers at once do
// not build twice. etcd and kube-apiserver are taken from KUBEBUILDER_ASSETS
// when it has them.
func EnsureBinaries(ctx context.Context, log io.Writer, names ...string) (Binaries, error) {
	tools, err := selectTools(names)
	if err != nil {
		return Binaries{}, err
	}
	var found Binaries
	for _, t := range tools {
		b, err := newBuild(t, discardIfNil(log))
		if err != nil {
			return Binaries{}, err
		}
		if err := b.ensure(ctx); err != nil {
			return Binaries{}, err
		}
		found.add(b)
	}
	return found, nil
}

// locateBinaries is EnsureBinaries without building.
func locateBinaries(names ...string) (Binaries, error) {
	tools, err := selectTools(names)
	if err != nil {
		return Binaries{}, err
	}
	var found Binaries
	for _, t := range tools {
		b, err := newBuild(t, io.Discard)
		if err != nil {
			return Binaries{}, err
		}
		if !b.complete() {
			return Binaries{}, &MissingBinaryError{Name: t.name, Path: b.path}
		}
		found.add(b)
	}
	return found, nil
}

func (b *Binaries) add(from *build) {
	switch from.tool.name {
	case ToolEtcd:
		b.Etcd = from.path
	case ToolAPIServer:
		b.APIServer = from.path
	case ToolControllerManager:
		b.ControllerManager = from.path
	case ToolIstiod:
		b.Istiod = from.path
		b.IstioCRDs = filepath.Join(filepath.Dir(from.path), istioCRDKey)
	case ToolPrometheus:
		b.Prometheus = from.path
	case ToolAlertmanager:
		b.Alertmanager = from.path
	case ToolEnvoy:
		b.Envoy = from.path
	}
}

// Assets returns a folder that holds etcd and kube-apiserver side by side, as
// KUBEBUILDER_ASSETS wants it.
func (b Binaries) Assets() (string, error) {
	if b.Etcd == "" || b.APIServer == "" {
		return "", errors.New("assets need both etcd and kube-apiserver")
	}
	if filepath.Dir(b.Etcd) == filepath.Dir(b.APIServer) {
		return filepath.Dir(b.Etcd), nil
	}
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	key := filepath.Base(filepath.Dir(b.Etcd)) + "-" + filepath.Base(filepath.Dir(b.APIServer))
	dir := filepath.Join(root, "assets", key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make assets folder: %w", err)
	}
	for name, target := range map[string]string{ToolEtcd: b.Etcd, ToolAPIServer: b.APIServer} {
		if err := linkAtomically(target, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func linkAtomically(target, link string) error {
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	if err := os.Rename(tmp, link); err != nil {
		return fmt.Errorf("link %s: %w", link, err)
	}
	return nil
}

// build is one tool with the place where its binary belongs.
type build struct {
	tool   tool
	module string // folder of the tools module
	path   string
	log    io.Writer
}

func newBuild(t tool, log io.Writer) (*build, error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); t.asset && assets != "" {
		if path := filepath.Join(assets, t.name); isFile(path) {
			return &build{tool: t, path: path, log: log}, nil
		}
	}
	tools, err := toolsDir()
	if err != nil {
		return nil, err
	}
	module := filepath.Join(tools, t.module)
	var pins [][]byte
	for _, name := range t.pins() {
		pin, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return nil, fmt.Errorf("read what %s is pinned to: %w", t.name, err)
		}
		pins = append(pins, pin)
	}
	root, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	on := platform{runtime.Version(), runtime.GOOS, runtime.GOARCH}
	if t.fetched() {
		on.goVersion = ""
	}
	key := t.cacheKey(on, pins...)
	return &build{tool: t, module: module, path: filepath.Join(root, "bin", key, t.name), log: log}, nil
}

func (b *build) complete() bool {
	if !isFile(b.path) {
		return false
	}
	return b.tool.name != ToolIstiod || isFile(filepath.Join(filepath.Dir(b.path), istioCRDKey))
}

func (b *build) ensure(ctx context.Context) error {
	if b.complete() {
		return nil
	}
	dir := filepath.Dir(b.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "."+b.tool.name+".lock"), func() {
		_, _ = fmt.Fprintf(b.log, "%s: waiting for another build of it\n", b.tool.name)
	})
	if err != nil {
		return fmt.Errorf("lock the build of %s: %w", b.tool.name, err)
	}
	defer unlock()
	if b.complete() {
		return nil
	}
	if b.tool.fetched() {
		return b.fetch(ctx)
	}
	if b.tool.name == ToolIstiod {
		if err := b.copyIstioCRDs(ctx); err != nil {
			return err
		}
	}
	return b.compile(ctx)
}

// compile builds into a temporary file and renames it, so that a binary that
// exists is always whole.
func (b *build) compile(ctx context.Context) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("building %s needs the go command: %w", b.tool.name, err)
	}
	_, _ = fmt.Fprintf(b.log, "%s: building %s, once (about %s on two cores)\n", b.tool.name, b.tool.pkg, b.tool.expected)
	tmp := fmt.Sprintf("%s.%d.tmp", b.path, os.Getpid())
	defer func() { _ = os.Remove(tmp) }()

	args := append([]string{"build", "-v", "-buildvcs=false", "-o", tmp}, b.tool.flags...)
	cmd := b.goCommand(ctx, append(args, b.tool.pkg)...)
	progress := newBuildProgress(b.tool.name, b.log)
	cmd.Stdout, cmd.Stderr = progress, progress
	started := time.Now()
	stop := progress.report(15 * time.Second)
	err := cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", b.tool.name, err, progress.tail())
	}
	if err := os.Rename(tmp, b.path); err != nil {
		return fmt.Errorf("store %s: %w", b.tool.name, err)
	}
	_, _ = fmt.Fprintf(b.log, "%s: built in %s\n", b.tool.name, time.Since(started).Round(time.Second))
	return nil
}

// copyIstioCRDs keeps Istio's CRDs beside its binary, so that running a
// cluster needs neither the go command nor the module cache.
func (b *build) copyIstioCRDs(ctx context.Context) error {
	var stderr strings.Builder
	download := b.goCommand(ctx, "mod", "download", istioModule)
	download.Stderr = &stderr
	if err := download.Run(); err != nil {
		return fmt.Errorf("download %s: %w\n%s", istioModule, err, stderr.String())
	}
	list := b.goCommand(ctx, "list", "-m", "-f", "{{.Dir}}", istioModule)
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("locate %s: %w\n%s", istioModule, err, stderr.String())
	}
	crds, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(istioCRDs)))
	if err != nil {
		return fmt.Errorf("read Istio's CRDs: %w", err)
	}
	return writeFileAtomically(filepath.Join(filepath.Dir(b.path), istioCRDKey), crds, 0o644)
}

func (b *build) goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	return cmd
}

func cacheRoot() (string, error) {
	if dir := os.Getenv("SLUICE_CACHE"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("resolve SLUICE_CACHE: %w", err)
		}
		return abs, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder (set SLUICE_CACHE): %w", err)
	}
	return filepath.Join(dir, "sluice"), nil
}

// toolsDir finds the pinned tools modules: from $SLUICE_TOOLS, beside this
// source file, or in the repository that holds the working directory.
func toolsDir() (string, error) {
	if dir := os.Getenv("SLUICE_TOOLS"); dir != "" {
		return dir, nil
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		if dir := filepath.Join(filepath.Dir(file), "tools"); isFile(filepath.Join(dir, "etcd", "go.mod")) {
			return dir, nil
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the tools modules: %w", err)
	}
	for {
		tools := filepath.Join(dir, "internal", "localcluster", "tools")
		if isFile(filepath.Join(tools, "etcd", "go.mod")) {
			return tools, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the tools modules: run inside the repository or set SLUICE_TOOLS")
		}
		dir = parent
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func writeFileAtomically(path string, data []byte, mode fs.FileMode) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
