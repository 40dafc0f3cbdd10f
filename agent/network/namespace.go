package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// innerName is what an instance's link is called inside.
const innerName = "eth0"

// onThread runs f on an operating system thread of its own, which may enter
// another network namespace: the thread comes back to the one it was in
// before any other code can run on it, or ends.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // without Unlock, the thread ends with the goroutine
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		defer home.Close()
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// makeNamespace makes a network namespace and mounts it at the path. One that
// is there stays.
func makeNamespace(path string) error {
	if isNamespace(path) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	return nil
}

// isNamespace says whether a namespace is mounted at the path. A file alone is
// what an interrupted makeNamespace leaves.
func isNamespace(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.NSFS_MAGIC
}

// removeNamespace unmounts it and removes the file. Not there: nil.
func removeNamespace(path string) error {
	for isNamespace(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount a network namespace: %w", err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a network namespace: %w", err)
	}
	return nil
}

// inside is a network namespace in which links can be changed.
type inside struct {
	*netlink.Handle
	ns netns.NsHandle
}

func enter(path string) (*inside, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open a network namespace: %w", err)
	}
	var h *netlink.Handle
	err = onThread(func() (err error) {
		h, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("enter a network namespace: %w", err)
	}
	return &inside{Handle: h, ns: ns}, nil
}

func (in *inside) close() {
	in.Handle.Close()
	in.ns.Close()
}

// disableIPv6 also holds for links that are added later.
func (in *inside) disableIPv6() error {
	return onThread(func() error {
		if err := netns.Set(in.ns); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return errors.Join(sysctl("ipv6/conf/all/disable_ipv6", "1"), sysctl("ipv6/conf/default/disable_ipv6", "1"))
	})
}

// configure gives the instance's end its address and its routes, which lead to
// the range and to nowhere else, and removes what an earlier address has left.
func (in *inside) configure(addr, gateway netip.Addr, addrs netip.Prefix) error {
	lo, err := in.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	link, err := in.LinkByName(innerName)
	if err != nil {
		return fmt.Errorf("find %s: %w", innerName, err)
	}
	old, err := whole(func() ([]netlink.Addr, error) { return in.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range old {
		if !a.IP.Equal(addr.AsSlice()) {
			if err := in.AddrDel(link, &a); err != nil {
				return fmt.Errorf("remove the address %s: %w", a.IP, err)
			}
		}
	}
	if err := in.AddrReplace(link, &netlink.Addr{IPNet: hostNet(addr)}); err != nil {
		return fmt.Errorf("add the address %s: %w", addr, err)
	}
	for _, l := range []netlink.Link{lo, link} {
		if err := in.LinkSetUp(l); err != nil {
			return fmt.Errorf("bring %s up: %w", l.Attrs().Name, err)
		}
	}
	index := link.Attrs().Index
	for _, r := range []*netlink.Route{
		{LinkIndex: index, Dst: hostNet(gateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Dst: netOf(addrs), Gw: gateway.AsSlice(), Src: addr.AsSlice()},
	} {
		if err := in.RouteReplace(r); err != nil {
			return fmt.Errorf("add the route %v: %w", r, err)
		}
	}
	routes, err := whole(func() ([]netlink.Route, error) { return in.RouteList(link, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list the routes: %w", err)
	}
	for _, r := range routes {
		if dst, ok := prefixOf(r.Dst); ok && (dst == addrs || dst.Addr() == gateway) {
			continue
		}
		if err := in.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove the route %v: %w", r, err)
		}
	}
	return nil
}
