package istio

import "testing"

func TestResolveHost(t *testing.T) {
	for host, want := range map[string]string{
		"checkout":                        "checkout.shop.svc.cluster.local",
		"checkout.shop":                   "checkout.shop.svc.cluster.local",
		"checkout.shop.svc":               "checkout.shop.svc.cluster.local",
		"checkout.shop.svc.cluster.local": "checkout.shop.svc.cluster.local",
		"checkout.other":                  "checkout.other.svc.cluster.local",
		"checkout.shop.svc.other.domain":  "checkout.shop.svc.other.domain",
		"www.example.com":                 "www.example.com",
		"*":                               "*",
		"*.example.com":                   "*.example.com",
		"":                                "",
	} {
		if got := resolveHost(host, "shop", DefaultClusterDomain); got != want {
			t.Errorf("resolveHost(%q) = %q, want %q", host, got, want)
		}
	}
}
