package localcluster

import (
	"fmt"
	"net/netip"
	"sync"
)

// ipPool gives out the addresses of one IPv4 range. It goes round the whole
// range before it gives an address out again, so that whoever still talks to
// the last holder of an address is not answered by the next one.
type ipPool struct {
	mu     sync.Mutex
	prefix netip.Prefix
	next   netip.Addr
	taken  map[netip.Addr]struct{}
}

func newIPPool(cidr string) (*ipPool, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil || !prefix.Addr().Is4() {
		return nil, fmt.Errorf("pod range %q: want an IPv4 prefix: %w", cidr, err)
	}
	prefix = prefix.Masked()
	return &ipPool{prefix: prefix, next: prefix.Addr(), taken: map[netip.Addr]struct{}{}}, nil
}

// take returns an address nobody holds. Addresses ending in 0 or 255 look
// like networks and broadcasts to some programs and are left out.
func (p *ipPool) take() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := 1 << (32 - p.prefix.Bits())
	for range size {
		addr := p.next
		p.next = p.next.Next()
		if !p.prefix.Contains(p.next) {
			p.next = p.prefix.Addr()
		}
		last := addr.As4()[3]
		if last == 0 || last == 255 {
			continue
		}
		if _, ok := p.taken[addr]; ok {
			continue
		}
		p.taken[addr] = struct{}{}
		return addr.String(), nil
	}
	return "", fmt.Errorf("no free address in %s", p.prefix)
}

// release gives an address back; "" and addresses nobody holds are ignored.
func (p *ipPool) release(address string) {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, addr)
}
