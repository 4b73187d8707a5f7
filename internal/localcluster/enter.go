package localcluster

import (
	"io"
)

// PodCIDR is the range that pod addresses come from. Inside the namespaces
// that Enter makes, every address in it is local to this machine.
const PodCIDR = "10.244.0.0/16"

// EnterOptions says what to prepare before entering the cluster's namespaces.
type EnterOptions struct {
	// Listen holds host TCP addresses ("127.0.0.1:0") to open before
	// entering. They stay reachable from the host: see HostListener and
	// ProxyHost.
	Listen []string
	// Binaries names the programs to build or fetch before entering, because
	// inside there is no network to download anything with. Nil means all that
	// Go can build; an empty slice means none.
	Binaries []string
	// Log gets build progress; nil means standard error.
	Log io.Writer
}

// Inherited by the program that runs inside.
const (
	envHostNamespace = "SLUICE_LOCALCLUSTER_HOST_NETNS" // identity of the host's network namespace
	envListeners     = "SLUICE_LOCALCLUSTER_LISTENERS"  // number of listeners passed on
	firstListenerFD  = 3
)
