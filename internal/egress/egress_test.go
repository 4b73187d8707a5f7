package egress

import (
	"net/netip"
	"strings"
	"testing"
)

func TestRefusedAddresses(t *testing.T) {
	deny := []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("::ffff:10.96.0.2"), netip.MustParseAddr("127.0.0.9")}
	for _, tc := range []struct {
		address          string
		refused, allowed bool // refused by default, refused with AllowLoopback
	}{
		{"127.0.0.1:80", true, false},
		{"127.9.9.9:80", true, false},
		{"[::1]:80", true, false},
		{"[::ffff:127.0.0.1]:80", true, false},
		{"[64:ff9b::7f00:1]:80", true, false},
		{"169.254.169.254:80", true, true},
		{"[::ffff:169.254.169.254]:80", true, true},
		{"[64:ff9b::a9fe:a9fe]:80", true, true},
		{"[2002:a9fe:a9fe::1]:80", true, true},
		{"[::a9fe:a9fe]:80", true, true},
		{"[fe80::1]:80", true, true},
		{"[fe80::1%eth0]:80", true, true},
		{"0.0.0.0:80", true, true},
		{"0.1.2.3:80", true, true},
		{"[::]:80", true, true},
		{"224.0.0.1:80", true, true},
		{"[ff02::1]:80", true, true},
		{"255.255.255.255:80", true, true},
		{"[fd00:ec2::254]:80", true, true},
		{"10.96.0.1:443", true, true},
		{"[::ffff:10.96.0.1]:443", true, true},
		{"10.96.0.2:443", true, true},
		{"10.0.0.7:9090", false, false},
		{"192.168.1.1:9090", false, false},
		{"[2001:db8::1]:9090", false, false},
		{"nonsense", true, true},
	} {
		for _, allow := range []bool{false, true} {
			network := "tcp4"
			if strings.HasPrefix(tc.address, "[") {
				network = "tcp6"
			}
			want := tc.refused
			if allow {
				want = tc.allowed
			}
			err := Options{AllowLoopback: allow, Deny: deny}.check(network, tc.address)
			if (err != nil) != want {
				t.Errorf("%s with AllowLoopback %v: %v", tc.address, allow, err)
			}
		}
	}
}

func TestResolve(t *testing.T) {
	for in, want := range map[string]string{
		"https://10.96.0.1:443": "10.96.0.1", "10.96.0.1:443": "10.96.0.1", "10.96.0.1": "10.96.0.1",
		"https://[fd00::1]:6443": "fd00::1", "::ffff:10.0.0.1": "10.0.0.1",
	} {
		got, err := Resolve(t.Context(), in)
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s resolves to %v, %v; want %s", in, got, err, want)
		}
	}
}
