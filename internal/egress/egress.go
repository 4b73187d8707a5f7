// Package egress makes the transport with which the operator asks servers that others
// name. Addresses are looked at in the dialer, after names were resolved; nothing of
// the process's environment, such as proxies, gets into it.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	idleTimeout      = 90 * time.Second
	maxIdle          = 8
	maxHeader        = 64 << 10
)

// ErrAddressRefused says that an address is one that must not be connected to.
var ErrAddressRefused = errors.New("the address is one that must not be asked")

// Options say where connections may go. The zero value is the strictest.
type Options struct {
	// AllowLoopback permits loopback addresses, for a cluster on one machine.
	AllowLoopback bool
	// Deny lists further addresses that must not be asked: the API server's.
	// Loopback addresses in it are permitted by AllowLoopback like any other.
	Deny []netip.Addr
}

// NewTransport makes a transport that shares nothing with another, and trusts the
// authorities in a bundle of PEM certificates, or the system's where it is empty. It
// follows the dialer's rules alone: redirects are up to the client.
func NewTransport(ca []byte, o Options) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA bundle has no certificate")
		}
	}
	dialer := &net.Dialer{
		Timeout:   dialTimeout,
		KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return o.check(network, address)
		},
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}, nil
}

// check refuses to connect to an address. It sees what names resolved to.
func (o Options) check(network, address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return ErrAddressRefused
	}
	for _, a := range meanings(to.Addr()) {
		if o.refused(a) {
			return ErrAddressRefused
		}
	}
	return nil
}

// metadata are addresses outside of the link-local range at which clouds give
// credentials to whoever asks from a machine.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("100.100.100.200"),
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.MustParseAddr("255.255.255.255")
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour   = netip.MustParsePrefix("2002::/16")
	compatible  = netip.MustParsePrefix("::/96")
)

func (o Options) refused(a netip.Addr) bool {
	switch {
	case a.IsLoopback():
		return !o.AllowLoopback
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return true
	case thisNetwork.Contains(a), a == broadcast, slices.Contains(metadata, a):
		return true
	default:
		return slices.ContainsFunc(o.Deny, func(d netip.Addr) bool { return d.Unmap().WithZone("") == a })
	}
}

// meanings returns an address and the IPv4 address that is hidden in it, if any.
func meanings(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	all := []netip.Addr{a}
	if a.Is4() {
		return all
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), compatible.Contains(a) && !a.IsLoopback() && !a.IsUnspecified():
		all = append(all, netip.AddrFrom4([4]byte(b[12:16])))
	case sixToFour.Contains(a):
		all = append(all, netip.AddrFrom4([4]byte(b[2:6])))
	}
	return all
}

// Resolve returns the addresses of a host, for Options.Deny: an address, a name, or
// a URL such as the API server's.
func Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if u, err := url.Parse(host); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found, nil
}
