package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/volvox-os/volvox"
	"golang.org/x/sys/unix"
)

// protocol marks our routes, as `ip route` shows them.
const protocol = 86

// Priorities of the two rules of a range; computers share them.
const (
	withinRule  = 20086 // between addresses of the range: the machine's routes
	outsideRule = 20087 // from the range to anywhere else: unreachable
)

// closeOff makes the range's rules and its last route, and removes those of
// another range that the computer had before.
func (n *Network) closeOff() error {
	if err := n.openUp(n.addrs); err != nil {
		return err
	}
	for _, rule := range rules(n.addrs) {
		if err := netlink.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add the rule %v: %w", rule, err)
		}
	}
	if err := netlink.RouteAdd(n.lastRoute(n.addrs)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the last route of %s: %w", n.addrs, err)
	}
	return nil
}

// openUp undoes closeOff for every range of the computer but the one to keep.
// A range's last route goes last, since it is how the range is known.
func (n *Network) openUp(keep netip.Prefix) error {
	routes, err := allRoutes()
	if err != nil {
		return err
	}
	for _, r := range routes {
		old, ok := prefixOf(r.Dst)
		if !ok || old == keep || r.Priority != n.metric || r.Type != unix.RTN_UNREACHABLE {
			continue
		}
		for _, rule := range rules(old) {
			if err := netlink.RuleDel(rule); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("remove the rule %v: %w", rule, err)
			}
		}
		if err := netlink.RouteDel(n.lastRoute(old)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove the last route of %s: %w", old, err)
		}
	}
	return nil
}

func (n *Network) lastRoute(addrs netip.Prefix) *netlink.Route {
	return &netlink.Route{Dst: netOf(addrs), Type: unix.RTN_UNREACHABLE, Priority: n.metric, Protocol: protocol, Table: unix.RT_TABLE_MAIN}
}

func rules(addrs netip.Prefix) []*netlink.Rule {
	within, outside := netlink.NewRule(), netlink.NewRule()
	within.Priority, within.Src, within.Dst, within.Table = withinRule, netOf(addrs), netOf(addrs), unix.RT_TABLE_MAIN
	outside.Priority, outside.Src, outside.Type = outsideRule, netOf(addrs), unix.RTN_UNREACHABLE
	return []*netlink.Rule{within, outside}
}

// checkFree refuses an address that another instance has.
func (n *Network) checkFree(id string, addr netip.Addr) error {
	routes, err := whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: hostNet(addr)}, netlink.RT_FILTER_DST)
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if err == nil && link.Attrs().Name != n.linkName(id) {
			return volvox.Errorf(volvox.Busy, "the address %s is in use", addr).
				Because("the link %s (%s) has it", link.Attrs().Name, link.Attrs().Alias)
		}
	}
	return nil
}

// ensureLink returns the machine's end of the instance's veth pair, made anew
// if the pair is not whole.
func (n *Network) ensureLink(id string, in *inside) (netlink.Link, error) {
	name := n.linkName(id)
	link, err := netlink.LinkByName(name)
	if err == nil {
		peer, err := in.LinkByName(innerName)
		if err == nil && peer.Attrs().ParentIndex == link.Attrs().Index && link.Attrs().ParentIndex == peer.Attrs().Index {
			return link, nil
		}
		if err := deleteLink(name); err != nil {
			return nil, err
		}
	}
	if stale, err := in.LinkByName(innerName); err == nil {
		if err := in.LinkDel(stale); err != nil {
			return nil, fmt.Errorf("remove a stale link: %w", err)
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias = name, id
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: innerName, PeerNamespace: netlink.NsFd(int(in.ns))}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("add the link %s: %w", name, err)
	}
	link, err = netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find the link %s: %w", name, err)
	}
	return link, nil
}

// configure sets up the machine's end.
func (n *Network) configure(link netlink.Link, addr netip.Addr) error {
	name := link.Attrs().Name
	for _, s := range []struct{ path, value string }{
		{"ipv4/conf/" + name + "/forwarding", "1"},
		{"ipv4/conf/" + name + "/rp_filter", "1"},
		{"ipv6/conf/" + name + "/disable_ipv6", "1"},
	} {
		if err := sysctl(s.path, s.value); err != nil {
			return err
		}
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: hostNet(n.gateway)}); err != nil {
		return fmt.Errorf("give %s the address %s: %w", name, n.gateway, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	old, err := whole(func() ([]netlink.Route, error) { return netlink.RouteList(link, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list the routes on %s: %w", name, err)
	}
	for _, r := range old {
		if dst, ok := prefixOf(r.Dst); ok && dst.Addr() != addr {
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("remove a stale route: %w", err)
			}
		}
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: hostNet(addr), Src: n.gateway.AsSlice(), Scope: netlink.SCOPE_LINK, Protocol: protocol}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add a route to %s: %w", addr, err)
	}
	return nil
}

// deleteLink deletes a link, and so its peer. Not there: nil.
func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete the link %s: %w", name, err)
	}
	return nil
}

// sysctl sets a setting of the network namespace that the thread is in. One
// that this kernel does not have needs no setting.
func sysctl(path, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set net/%s to %s: %w", path, value, err)
	}
	return nil
}
