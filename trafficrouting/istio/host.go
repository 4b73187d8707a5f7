package istio

import "strings"

// DefaultClusterDomain is the DNS domain of a cluster that was given no other.
const DefaultClusterDomain = "cluster.local"

// resolveHost returns the full name of the service that host means in a routing
// object of namespace. "a", "a.ns", "a.ns.svc" and the full name are the same
// service; any other name stands for itself.
func resolveHost(host, namespace, domain string) string {
	labels := strings.Split(host, ".")
	switch {
	case host == "" || host == "*":
		return host
	case len(labels) == 1:
		return serviceHost(host, namespace, domain)
	case len(labels) == 2:
		return serviceHost(labels[0], labels[1], domain)
	case len(labels) == 3 && labels[2] == "svc":
		return serviceHost(labels[0], labels[1], domain)
	default:
		return host
	}
}

func serviceHost(name, namespace, domain string) string {
	return name + "." + namespace + ".svc." + domain
}
