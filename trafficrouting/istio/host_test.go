package istio

import "testing"

// TestResolveHost holds what Istio's control plane does (ResolveShortnameToFQDN).
func TestResolveHost(t *testing.T) {
	for host, want := range map[string]string{
		"checkout":                        "checkout.shop.svc.cluster.local",
		"checkout.shop":                   "checkout.shop",
		"checkout.shop.svc":               "checkout.shop.svc",
		"checkout.shop.svc.cluster.local": "checkout.shop.svc.cluster.local",
		"checkout.other":                  "checkout.other",
		"checkout.shop.svc.other.domain":  "checkout.shop.svc.other.domain",
		"www.example.com":                 "www.example.com",
		"10.0.0.1":                        "10.0.0.1",
		"::1":                             "::1",
		"*":                               "*",
		"*.example.com":                   "*.example.com",
		"":                                "",
	} {
		if got := resolveHost(host, "shop", DefaultClusterDomain); got != want {
			t.Errorf("resolveHost(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestCutShort(t *testing.T) {
	for host, want := range map[string]bool{
		"checkout.shop":                   true,
		"checkout.shop.svc":               true,
		"checkout":                        false,
		"checkout.other":                  false,
		"checkout.shop.svc.cluster.local": false,
		"":                                false,
	} {
		if got := cutShort(host, "checkout.shop.svc.cluster.local", DefaultClusterDomain); got != want {
			t.Errorf("cutShort(%q) = %t, want %t", host, got, want)
		}
	}
	if cutShort("www.example", "www.example.com", DefaultClusterDomain) {
		t.Error("a host outside of the cluster is cut short")
	}
}
