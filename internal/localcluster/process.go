package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is a program that was started beside the cluster. It ends with the
// program that started it, however that one ends.
type Process struct {
	name    string
	logPath string
	cmd     *exec.Cmd
	done    chan struct{}

	mu     sync.Mutex // guards against signalling a reaped process id
	reaped bool
	err    error
}

// Usage is what a process has cost so far.
type Usage struct {
	CPU     time.Duration // user and system time
	RSS     int64         // resident bytes now, 0 once it ended
	PeakRSS int64         // most resident bytes at any time
}

// StartProcess runs a program with its output in DIR/logs/NAME.log. env adds
// to this program's own environment. ctx bounds the start alone; the process
// lives until it ends, is stopped, or the cluster stops.
func (c *Cluster) StartProcess(ctx context.Context, name, path string, args, env []string) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := startProcess(c.logDir(), name, path, args, env)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.processes = append(c.processes, p)
	c.mu.Unlock()
	return p, nil
}

func startProcess(logDir, name, path string, args, env []string) (*Process, error) {
	logPath := filepath.Join(logDir, name+".log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = logFile.Close() }()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = childAttributes()
	if err := startOnLastingThread(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, logPath: logPath, cmd: cmd, done: make(chan struct{})}
	go p.reap()
	return p, nil
}

func (p *Process) reap() {
	err := p.cmd.Wait()
	p.mu.Lock()
	p.reaped, p.err = true, err
	p.mu.Unlock()
	close(p.done)
}

// Name returns the name it was started with.
func (p *Process) Name() string { return p.name }

// PID returns its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath returns the file that holds its output.
func (p *Process) LogPath() string { return p.logPath }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns when the process has ended, with nil if it exited with 0, or
// when ctx is done.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Signal sends a signal to the process; os.ErrProcessDone when it has ended.
func (p *Process) Signal(s os.Signal) error {
	return p.cmd.Process.Signal(s)
}

// Kill ends the process and all it started at once (SIGKILL) and waits until
// they are gone.
func (p *Process) Kill() error {
	p.mu.Lock()
	if p.reaped {
		p.mu.Unlock()
		return nil
	}
	err := killGroup(p.cmd.Process)
	p.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// Stop asks the process to end (SIGTERM) and kills it when it has not within
// grace. It returns when the process is gone.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.Kill()
	}
}

// Usage reads what the process has cost so far; after its end, what it cost.
func (p *Process) Usage() (Usage, error) {
	select {
	case <-p.done:
		return finalUsage(p.cmd.ProcessState), nil
	default:
		return liveUsage(p.PID())
	}
}

// logTail returns the last bytes of the log, for error messages.
func (p *Process) logTail() string {
	const limit = 4 << 10
	f, err := os.Open(p.logPath)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		_, _ = f.Seek(-limit, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, limit))
	return string(b)
}
