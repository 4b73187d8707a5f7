package istio

import (
	"net/netip"
	"strings"
)

// DefaultClusterDomain is the DNS domain of a cluster that was given no other.
const DefaultClusterDomain = "cluster.local"

// resolveHost returns the host that Istio takes the host of a routing object of
// namespace for: a name without a dot is that of a service in the namespace; any
// other stands for itself, "checkout.shop" and "checkout.shop.svc" included.
func resolveHost(host, namespace, domain string) string {
	if host == "" || host == "*" || strings.Contains(host, ".") {
		return host
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	return serviceHost(host, namespace, domain)
}

func serviceHost(name, namespace, domain string) string {
	return name + "." + namespace + ".svc." + domain
}

// cutShort reports whether host is full cut short after the namespace or after
// "svc": what DNS completes, and Istio does not.
func cutShort(host, full, domain string) bool {
	name, ok := strings.CutSuffix(full, ".svc."+domain)
	return ok && (host == name || host == name+".svc")
}
