//go:build !linux

package localcluster

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return nil }

func startOnLastingThread(cmd *exec.Cmd) error { return cmd.Start() }

func killGroup(p *os.Process) error { return p.Kill() }

func liveUsage(int) (Usage, error) {
	return Usage{}, errors.ErrUnsupported
}

func finalUsage(state *os.ProcessState) Usage {
	return Usage{CPU: state.UserTime() + state.SystemTime()}
}
