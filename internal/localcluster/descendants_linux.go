package localcluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killDescendants ends every process whose parent is pid, and again whatever
// those leave behind, until none is left. The caller must be a subreaper.
func killDescendants(pid int) {
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		children := childrenOf(pid)
		if len(children) == 0 {
			return
		}
		for _, child := range children {
			_ = unix.Kill(child, unix.SIGKILL)
			_, _ = unix.Wait4(child, nil, 0, nil)
		}
	}
}

func childrenOf(pid int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var children []int
	for _, path := range stats {
		s, err := readProcStat(path)
		if err == nil && s.parent == pid {
			children = append(children, s.pid)
		}
	}
	return children
}

// procStat is the part of /proc/PID/stat that is of interest here.
type procStat struct {
	pid, parent int
	cpu         time.Duration // user and system
	rssPages    int64
}

// userHZ is the unit of CPU times in /proc: fixed by the kernel's ABI.
const userHZ = 100

func readProcStat(path string) (procStat, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	return parseProcStat(b)
}

// parseProcStat reads past the command name, which may hold spaces and
// parentheses.
func parseProcStat(b []byte) (procStat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return procStat{}, fmt.Errorf("malformed stat line %q", b)
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) < 22 {
		return procStat{}, fmt.Errorf("stat line with %d fields", len(fields))
	}
	number := func(raw []byte, into *int64) error {
		n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
		*into = n
		return err
	}
	var pid, parent, user, system, rss int64
	for _, f := range []struct {
		raw  []byte
		into *int64
	}{{b[:open], &pid}, {fields[1], &parent}, {fields[11], &user}, {fields[12], &system}, {fields[21], &rss}} {
		if err := number(f.raw, f.into); err != nil {
			return procStat{}, fmt.Errorf("stat line: %w", err)
		}
	}
	return procStat{
		pid: int(pid), parent: int(parent), rssPages: rss,
		cpu: time.Duration(user+system) * time.Second / userHZ,
	}, nil
}
