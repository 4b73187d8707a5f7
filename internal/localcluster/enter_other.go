//go:build !linux

package localcluster

import (
	"errors"
	"runtime"
)

// ErrUnsupported is returned by Enter where the local cluster cannot run.
var ErrUnsupported = errors.New("the local cluster needs Linux (user and network namespaces), this is " +
	runtime.GOOS + ": use a real cluster with \"make deploy\"")

// Enter returns ErrUnsupported: network namespaces are Linux's.
func Enter(EnterOptions) error { return ErrUnsupported }

// Inside tells whether this program runs in the namespaces that Enter makes.
func Inside() bool { return false }
