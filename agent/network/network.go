// Package network is the [agent.Network] of one machine: every instance has
// an address of its own, on a link of its own, routed by the machine.
//
// An instance lives in a network namespace, bind-mounted at
// Run/netns/<instance>. A veth pair joins it to the machine: "eth0" inside has
// the instance's address as a /32 and a route for the range by the gateway; the end
// on the machine has the gateway's address, the first of the range, and a /32
// route to the instance. There is no bridge: members reach each other, and
// themselves by their own address, through the machine's routes.
//
// The range is closed:
//   - a member has no route to any address outside of the range, those of the
//     machine included, and a filter refuses what it sends there all the same;
//     besides, the machine answers it as unreachable, by a rule on its source;
//   - a member cannot call on the machine by the gateway either: only its
//     answers pass (see guard);
//   - a packet to an address of the range that no instance has is answered
//     likewise, by a route under all the others;
//   - a packet with another source than the instance's own is dropped
//     (rp_filter), so no instance speaks for another. A machine whose
//     net.ipv4.conf.all.rp_filter is 2 overrules this, with the effect that
//     only sources outside the range are dropped.
//
// Forwarding is switched on for the links only, never for the machine.
//
// Everything here is found again by name: links by "vx" and the computer's
// ID, routes by a metric made of it. So a process killed at any point leaves
// nothing that Attach does not mend, Detach does not remove, and Purge does
// not find.
package network

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
)

// Options say which network it is.
type Options struct {
	Computer string // six hex digits; names of links derive from it
	Run      string // directory on tmpfs; the namespaces are in netns/ below it
	Range    string // "100.66.0.0/16", see ChooseRange
}

// Network is an open network. It is safe for concurrent use.
type Network struct {
	computer string
	dir      string
	addrs    netip.Prefix
	gateway  netip.Addr
	metric   int // of our routes for the whole range; no other computer has it
	mu       sync.Mutex
}

var _ agent.Network = (*Network)(nil)

// Open closes the range off and returns its network. What is attached stays
// so. A range that another computer on this machine has, or that has a route
// of the machine's, is E_SUBNET_TAKEN, unless this computer has it already.
func Open(ctx context.Context, opt Options) (*Network, error) {
	addrs, err := parseRange(opt.Range)
	if err != nil {
		return nil, err
	}
	metric, err := metricOf(opt.Computer)
	if err != nil {
		return nil, err
	}
	n := &Network{computer: opt.Computer, dir: filepath.Join(opt.Run, "netns"), addrs: addrs, gateway: addrs.Addr().Next(), metric: metric}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the network: %w", err)
	}
	routes, err := allRoutes()
	if err != nil {
		return nil, fmt.Errorf("open the network: %w", err)
	}
	if taken := overlapping(routes, addrs, n.computer, metric); taken != "" && !slices.Contains(ownRanges(routes, metric), addrs) {
		return nil, subnetTaken(addrs, taken)
	}
	if err := n.closeOff(); err != nil {
		return nil, fmt.Errorf("open the network: %w", err)
	}
	return n, ctx.Err()
}

// Gateway returns the machine's address towards its instances. The machine
// has it while at least one instance is attached.
func (n *Network) Gateway() netip.Addr { return n.gateway }

var instanceText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Attach makes the namespace, or mends it. An instance that is attached with
// another address gets this one.
func (n *Network) Attach(ctx context.Context, id, address string) (string, error) {
	addr, err := netip.ParseAddr(address)
	switch {
	case !instanceText.MatchString(id):
		return "", volvox.Errorf(volvox.BadInput, "%q cannot be the ID of an instance", id)
	case err != nil || !n.addrs.Contains(addr) || addr == n.addrs.Addr() || addr == n.gateway:
		return "", volvox.Errorf(volvox.BadInput, "%q cannot be the address of an instance", address).
			Because("it is not a free address of %s", n.addrs)
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.attach(id, addr); err != nil {
		return "", fmt.Errorf("attach %s to the network: %w", id, err)
	}
	return n.path(id), nil
}

func (n *Network) attach(id string, addr netip.Addr) error {
	if err := n.closeOff(); err != nil {
		return err
	}
	if err := n.checkFree(id, addr); err != nil {
		return err
	}
	if err := makeNamespace(n.path(id)); err != nil {
		return err
	}
	in, err := enter(n.path(id))
	if err != nil {
		return err
	}
	defer in.close()
	if err := in.disableIPv6(); err != nil {
		return err
	}
	link, err := n.ensureLink(id, in)
	if err != nil {
		return err
	}
	if err := in.guard(n.gateway, n.addrs); err != nil {
		return err
	}
	if err := in.configure(addr, n.gateway, n.addrs); err != nil {
		return err
	}
	return n.configure(link, addr)
}

// Detach removes the instance's link and namespace. Processes that still are
// in the namespace stay, cut off.
func (n *Network) Detach(ctx context.Context, id string) error {
	if !instanceText.MatchString(id) {
		return nil // none can be there
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(deleteLink(n.linkName(id)), removeNamespace(n.path(id))); err != nil {
		return fmt.Errorf("detach %s from the network: %w", id, err)
	}
	return nil
}

// List returns the instances of which there is a namespace or a link, in
// order.
func (n *Network) List(ctx context.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	entries, err := os.ReadDir(n.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list what is attached: %w", err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	links, err := n.links()
	if err != nil {
		return nil, fmt.Errorf("list what is attached: %w", err)
	}
	for _, l := range links {
		if alias := l.Attrs().Alias; alias != "" && !slices.Contains(ids, alias) {
			ids = append(ids, alias)
		}
	}
	slices.Sort(ids)
	return ids, ctx.Err()
}

// Purge detaches everything and opens the range again: nothing of the network
// is left. Called again it does nothing.
func (n *Network) Purge(ctx context.Context) error {
	ids, err := n.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, n.Detach(ctx, id))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	links, err := n.links()
	errs = append(errs, err)
	for _, l := range links {
		errs = append(errs, deleteLink(l.Attrs().Name))
	}
	errs = append(errs, n.openUp(netip.Prefix{}), os.RemoveAll(n.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("purge the network: %w", err)
	}
	return nil
}

func (n *Network) path(id string) string { return filepath.Join(n.dir, id) }

// linkPrefix begins the names of all links of a computer.
func linkPrefix(computer string) string { return "vx" + computer }

// linkName is the name of the instance's link: 15 characters, the most that
// Linux allows, of which 35 bits tell instances apart.
func (n *Network) linkName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return linkPrefix(n.computer) + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))[:7]
}

// links returns all links of this computer.
func (n *Network) links() ([]netlink.Link, error) {
	all, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return slices.DeleteFunc(all, func(l netlink.Link) bool {
		return !strings.HasPrefix(l.Attrs().Name, linkPrefix(n.computer))
	}), nil
}

var computerText = regexp.MustCompile(`^[0-9a-f]{6}$`)

// metricOf returns the metric of a computer's routes for its whole range: one
// so high that it is a last resort, and different for each computer.
func metricOf(computer string) (int, error) {
	if !computerText.MatchString(computer) {
		return 0, fmt.Errorf("the computer ID %q is not six hex digits", computer)
	}
	id, err := strconv.ParseUint(computer, 16, 32)
	return metricBase | int(id), err
}

const (
	metricBase = 0x56000000
	metricMask = 0xff000000
)
