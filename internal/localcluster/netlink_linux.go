package localcluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// setUpNetwork brings the loopback interface up and makes every address of
// cidr local to it, as "ip route add local CIDR dev lo" does. Doing it twice
// is fine.
func setUpNetwork(cidr string) error {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return fmt.Errorf("parse %q: %w", cidr, err)
	}
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlinkRequest(localRoute(prefix, lo.Index)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("route %s to lo: %w", cidr, err)
	}
	return nil
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return os.NewSyscallError("read flags", err)
	}
	if request.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return os.NewSyscallError("set flags", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// localRoute is the rtnetlink message that adds a local route for an IPv4
// prefix on one interface.
func localRoute(prefix netip.Prefix, ifIndex int) []byte {
	native := binary.NativeEndian
	attribute := func(b []byte, kind uint16, value []byte) []byte {
		b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
		b = native.AppendUint16(b, kind)
		return append(b, value...) // both values are four bytes: aligned
	}
	address := prefix.Masked().Addr().As4()
	body := []byte{
		unix.AF_INET, byte(prefix.Bits()), 0, 0, // family, dst_len, src_len, tos
		unix.RT_TABLE_LOCAL, unix.RTPROT_BOOT, unix.RT_SCOPE_HOST, unix.RTN_LOCAL,
		0, 0, 0, 0, // flags
	}
	body = attribute(body, unix.RTA_DST, address[:])
	body = attribute(body, unix.RTA_OIF, native.AppendUint32(nil, uint32(ifIndex)))

	message := native.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = native.AppendUint16(message, unix.RTM_NEWROUTE)
	message = native.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	message = native.AppendUint32(message, 1) // sequence
	message = native.AppendUint32(message, 0) // from the kernel's view, us
	return append(message, body...)
}

// netlinkRequest sends one request and returns what the kernel answers.
func netlinkRequest(message []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return os.NewSyscallError("receive", err)
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("short netlink answer of %d bytes", n)
	}
	if kind := binary.NativeEndian.Uint16(answer[4:]); kind != unix.NLMSG_ERROR {
		return fmt.Errorf("unexpected netlink answer of type %d", kind)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
