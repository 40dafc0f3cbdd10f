package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/volvox-os/volvox"
	"golang.org/x/sys/unix"
)

// shared is where all ranges are: RFC 6598 space, which neither the internet
// nor, mostly, private networks use.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// ChooseRange returns the range of the computer with this data directory: the
// one asked for; or, if none is, the one that the computer already has on
// this machine; or else a /16 that follows from the directory, or the next
// one that is free.
//
// A range asked for must be a /16 to /24 in 100.64.0.0/10 (E_BAD_INPUT), and
// no route of the machine, nor another computer's range, may overlap it
// (E_SUBNET_TAKEN). A computer that is not up holds no range: keep what was
// chosen, and pass it to [Open], which checks again.
func ChooseRange(dataDir, asked string) (string, error) {
	layout, err := volvox.LayoutOf(dataDir)
	if err != nil {
		return "", fmt.Errorf("choose a network range: %w", err)
	}
	computer := layout.ID
	metric, err := metricOf(computer)
	if err != nil {
		return "", err
	}
	routes, err := allRoutes()
	if err != nil {
		return "", fmt.Errorf("choose a network range: %w", err)
	}
	if asked != "" {
		addrs, err := parseRange(asked)
		if err != nil {
			return "", err
		}
		if taken := overlapping(routes, addrs, computer, metric); taken != "" {
			return "", subnetTaken(addrs, taken)
		}
		return addrs.String(), nil
	}
	if own := ownRanges(routes, metric); len(own) > 0 {
		return own[0].String(), nil
	}
	for i := range 64 {
		at := shared.Addr().As4()
		at[1] += byte((metric + i) % 64)
		addrs := netip.PrefixFrom(netip.AddrFrom4(at), 16)
		if overlapping(routes, addrs, computer, metric) == "" {
			return addrs.String(), nil
		}
	}
	return "", volvox.Errorf(volvox.SubnetTaken, "no network range is free").
		Because("routes of this machine overlap every /16 of %s", shared).WithTry("volvox up --network 100.64.0.0/24")
}

func parseRange(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err == nil && p == p.Masked() && p.Bits() >= 16 && p.Bits() <= 24 && shared.Overlaps(p) {
		return p, nil
	}
	return netip.Prefix{}, volvox.Errorf(volvox.BadInput, "%q cannot be the network of a computer", text).
		Because("it is a range of %s between /16 and /24, such as 100.66.0.0/16", shared)
}

func subnetTaken(addrs netip.Prefix, by string) error {
	return volvox.Errorf(volvox.SubnetTaken, "the network range %s is taken", addrs).
		Because("%s", by).WithTry("leave --network out, or choose another range")
}

// allRoutes returns the IPv4 routes of all tables, those to the machine's own
// addresses included.
func allRoutes() ([]netlink.Route, error) {
	routes, err := whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// ownRanges returns the ranges that a computer has closed off.
func ownRanges(routes []netlink.Route, metric int) (own []netip.Prefix) {
	for _, r := range routes {
		if dst, ok := prefixOf(r.Dst); ok && r.Priority == metric && r.Type == unix.RTN_UNREACHABLE {
			own = append(own, dst)
		}
	}
	return own
}

// overlapping says in words what leads to addresses of the range and is not
// the computer's own; empty if nothing does. A route to nearly everywhere is a default
// route, and no claim to these addresses.
func overlapping(routes []netlink.Route, addrs netip.Prefix, computer string, metric int) string {
	for _, r := range routes {
		dst, ok := prefixOf(r.Dst)
		if !ok || dst.Bits() < 8 || !dst.Overlaps(addrs) {
			continue
		}
		if r.Priority == metric && r.Type == unix.RTN_UNREACHABLE {
			continue
		}
		name := ""
		if r.LinkIndex != 0 {
			if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
				name = l.Attrs().Name
			}
		}
		switch {
		case strings.HasPrefix(name, linkPrefix(computer)):
			continue
		case r.Priority&metricMask == metricBase && r.Type == unix.RTN_UNREACHABLE, strings.HasPrefix(name, "vx") && len(name) == 15:
			return fmt.Sprintf("another computer on this machine has %s", dst)
		case name != "":
			return fmt.Sprintf("this machine has a route to %s on %s", dst, name)
		default:
			return fmt.Sprintf("this machine has a route to %s", dst)
		}
	}
	return ""
}

// prefixOf returns false for a default route.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, bits), ok && bits > 0
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func hostNet(a netip.Addr) *net.IPNet { return netOf(netip.PrefixFrom(a, 32)) }
