package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/volvox-os/volvox"
	"golang.org/x/sys/unix"
)

func TestReach(t *testing.T) {
	n := open(t, "aaaaa1", "100.66.0.0/16")
	a, b := attach(t, n, "a", "100.66.0.10"), attach(t, n, "b", "100.66.3.200")
	listen(t, a, "0.0.0.0:80")
	listen(t, b, "0.0.0.0:80")
	for _, c := range []struct{ name, from, to, as string }{
		{"a member to another", a, "100.66.3.200:80", "100.66.0.10"},
		{"and back", b, "100.66.0.10:80", "100.66.3.200"},
		{"a member to itself by its address", a, "100.66.0.10:80", "100.66.0.10"},
		{"a member to itself by loopback", a, "127.0.0.1:80", "127.0.0.1"},
		{"the machine to a member", machine, "100.66.0.10:80", "100.66.0.1"},
	} {
		if as, err := ask(c.from, c.to); err != nil || as != c.as {
			t.Errorf("%s: seen as %q, %v; want %q", c.name, as, err, c.as)
		}
	}
	if global, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(string(global)) != "0" {
		t.Error("the whole machine forwards")
	}
}

func TestClosedRange(t *testing.T) {
	n := open(t, "aaaaa2", "100.67.0.0/16")
	// The machine answers few errors to one member, so each asks once.
	var members []string
	for i := range 4 {
		members = append(members, attach(t, n, fmt.Sprint("m", i), fmt.Sprint("100.67.0.", 10+i)))
	}
	up := outside(t)
	unreachable := func(from, to string) {
		if _, err := ask(from, to); !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("to %s: %v, want unreachable", to, err)
		}
	}
	left := count(t, up, n.addrs, func() {
		var all sync.WaitGroup
		defer all.Wait()
		all.Go(func() { unreachable(members[0], "100.127.0.2:80") })
		all.Go(func() { unreachable(members[1], "8.8.8.8:80") })
		all.Go(func() { unreachable(members[2], "100.67.0.77:80") })
		all.Go(func() { unreachable(machine, "100.67.0.77:80") })
	})
	if left > 0 {
		t.Errorf("%d packets left the machine", left)
	}

	// The count does see packets that leave: without the rule one does.
	for _, r := range rules(n.addrs) {
		if err := netlink.RuleDel(r); err != nil {
			t.Fatal(err)
		}
	}
	byDefault := func(in *inside) error {
		l, err := in.LinkByName(innerName)
		if err != nil {
			return err
		}
		return in.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: n.gateway.AsSlice()})
	}
	breach(t, members[0], byDefault)
	left = count(t, up, n.addrs, func() {
		if err := send(members[0], "100.67.0.10", "100.127.0.2:9"); err != nil {
			t.Error(err)
		}
		until(t, "the packet", func() bool {
			l, err := netlink.LinkByName(up)
			return err == nil && l.Attrs().Statistics.TxPackets > 0
		})
	})
	if left == 0 {
		t.Error("a planted leak was not seen")
	}
	attach(t, n, "m0", "100.67.0.10") // mends it
	unreachable(members[3], "100.127.0.2:80")
}

func TestNoSpoofing(t *testing.T) {
	n := open(t, "aaaaa3", "100.68.0.0/16")
	a, c := attach(t, n, "a", "100.68.0.10"), attach(t, n, "c", "100.68.0.12")
	attach(t, n, "b", "100.68.0.11")
	var conn net.PacketConn
	err := within(c, func() (err error) {
		conn, err = net.ListenPacket("udp4", "100.68.0.12:900")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	receive := func() string {
		t.Helper()
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 64)
		k, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:k])
	}
	say := func(from string) {
		t.Helper()
		if err := send(a, from, "100.68.0.12:900"); err != nil {
			t.Fatal(err)
		}
	}
	say("100.68.0.11")
	say("192.0.2.77")
	say("100.68.0.10")
	if got := receive(); got != "100.68.0.10" {
		t.Errorf("received as %s what a sent", got)
	}
	// Without the filter the false one arrives, so the test would see it.
	if err := sysctl("ipv4/conf/"+n.linkName("a")+"/rp_filter", "0"); err != nil {
		t.Fatal(err)
	}
	say("100.68.0.11")
	if got := receive(); got != "100.68.0.11" {
		t.Errorf("received as %s, want the planted false source", got)
	}
}

func TestAttachTwice(t *testing.T) {
	n := open(t, "aaaaa4", "100.69.0.0/16")
	a := attach(t, n, "a", "100.69.0.10")
	inode := func(path string) (s unix.Stat_t) {
		if err := unix.Stat(path, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, links := inode(a), traces(t)
	if again := attach(t, n, "a", "100.69.0.10"); again != a || inode(a).Ino != before.Ino {
		t.Error("attaching again made another namespace")
	}
	if changed := difference(traces(t), links); len(changed) > 0 {
		t.Errorf("attaching again made %v", changed)
	}
	attach(t, n, "a", "100.69.0.20")
	listen(t, a, "0.0.0.0:80")
	if _, err := ask(machine, "100.69.0.20:80"); err != nil {
		t.Errorf("the new address: %v", err)
	}
	if _, err := ask(machine, "100.69.0.10:80"); err == nil {
		t.Error("the old address still answers")
	}
	if _, err := n.Attach(t.Context(), "b", "100.69.0.20"); volvox.CodeOf(err) != volvox.Busy {
		t.Errorf("an address given twice: %v", err)
	}
	for _, bad := range []string{"100.69.0.0", "100.69.0.1", "100.70.0.9", "::1", "x", ""} {
		if _, err := n.Attach(t.Context(), "b", bad); volvox.CodeOf(err) != volvox.BadInput {
			t.Errorf("address %q: %v", bad, err)
		}
	}
	if ids, err := n.List(t.Context()); err != nil || !slices.Equal(ids, []string{"a"}) {
		t.Errorf("list: %v, %v", ids, err)
	}
	for range 2 {
		if err := n.Detach(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	if ids, err := n.List(t.Context()); err != nil || len(ids) > 0 {
		t.Errorf("list: %v, %v", ids, err)
	}
}

func TestInside(t *testing.T) {
	n := open(t, "aaaaa5", "100.69.0.0/16")
	a := attach(t, n, "a", "100.69.0.10")
	in, err := enter(a)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	links, err := in.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names, addrs []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
		found, _ := in.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range found {
			addrs = append(addrs, a.IPNet.String())
		}
	}
	if !slices.Equal(names, []string{"lo", "eth0"}) || !slices.Equal(addrs, []string{"127.0.0.1/8", "100.69.0.10/32"}) {
		t.Errorf("links %v with addresses %v", names, addrs)
	}
}

// TestMend breaks what is attached in each way that a crash can, and more.
func TestMend(t *testing.T) {
	n := open(t, "aaaaa6", "100.71.0.0/16")
	const id, addr = "a", "100.71.0.10"
	breaks := map[string]func(path string) error{
		"only the file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"no link":       func(path string) error { return makeNamespace(path) },
		"a link without its namespace": func(path string) error {
			attach(t, n, id, addr)
			return removeNamespace(path)
		},
		"no addresses": func(path string) error {
			if err := makeNamespace(path); err != nil {
				return err
			}
			in, err := enter(path)
			if err != nil {
				return err
			}
			defer in.close()
			_, err = n.ensureLink(id, in)
			return err
		},
		"the link of another": func(path string) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = n.linkName(id)
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "vxpeer"})
		},
		"down inside": func(path string) error {
			attach(t, n, id, addr)
			in, err := enter(path)
			if err != nil {
				return err
			}
			defer in.close()
			l, err := in.LinkByName(innerName)
			if err != nil {
				return err
			}
			return in.LinkSetDown(l)
		},
		"no rules": func(path string) error {
			return errors.Join(netlink.RuleDel(rules(n.addrs)[0]), netlink.RouteDel(n.lastRoute(n.addrs)))
		},
	}
	for name, broken := range breaks {
		for _, mend := range []bool{true, false} {
			if err := broken(n.path(id)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			ids, err := n.List(t.Context())
			if err != nil || name == "no link" && !slices.Equal(ids, []string{id}) {
				t.Errorf("%s: list: %v, %v", name, ids, err)
			}
			if mend || name == "no rules" {
				listen(t, attach(t, n, id, addr), "0.0.0.0:80")
				if _, err := ask(machine, addr+":80"); err != nil {
					t.Errorf("%s: not mended: %v", name, err)
				}
			}
			if err := n.Detach(t.Context(), id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if links, err := n.links(); err != nil || len(links) > 0 {
				t.Errorf("%s: links left: %v, %v", name, links, err)
			}
		}
	}
}

// TestKilled kills a process that attaches and detaches, at random moments.
func TestKilled(t *testing.T) {
	random := seeded(t)
	before := traces(t)
	dir := t.TempDir()
	for range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "/proc/self/exe")
		cmd.Env = append(os.Environ(), attachEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line != "ready\n" {
			t.Error(line)
		}
		<-time.After(time.Duration(random.IntN(30_000)) * time.Microsecond)
		cmd.Process.Kill()
		rest, _ := bufio.NewReader(out).ReadString(0)
		if rest != "" {
			t.Error(rest)
		}
		cmd.Wait()
		cancel()
	}
	n, err := Open(t.Context(), Options{Computer: "c0ffee", Run: dir, Range: "100.70.0.0/16"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		addr := fmt.Sprintf("100.70.0.%d", 10+i)
		listen(t, attach(t, n, fmt.Sprintf("i%d", i), addr), "0.0.0.0:80")
		if _, err := ask(machine, addr+":80"); err != nil {
			t.Error(err)
		}
	}
	if err := n.Purge(t.Context()); err != nil {
		t.Error(err)
	}
	if left := difference(traces(t), before); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// TestThreads checks that no thread of the process stays in the namespace of
// an instance, and that the check sees one that does.
func TestThreads(t *testing.T) {
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	strays := func() (n int) {
		tasks, _ := filepath.Glob("/proc/self/task/*/ns/net")
		for _, path := range tasks {
			if at, err := os.Readlink(path); err == nil && at != home {
				n++
			}
		}
		return n
	}
	n := open(t, "aaaaa7", "100.72.0.0/16")
	done := make(chan error)
	for w := range 8 {
		go func() {
			for i := range 5 {
				id := fmt.Sprintf("w%d-%d", w, i)
				_, err := n.Attach(context.Background(), id, fmt.Sprintf("100.72.%d.%d", w, 10+i))
				if err == nil && i%2 == 0 {
					err = n.Detach(context.Background(), id)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	until(t, "no thread in another namespace", func() bool { return strays() == 0 })
	within(n.path("w0-1"), func() error {
		if strays() == 0 {
			t.Error("a thread in another namespace was not seen")
		}
		return nil
	})
}

func TestTwoComputers(t *testing.T) {
	n := open(t, "aaaaa8", "100.73.0.0/16")
	listen(t, attach(t, n, "a", "100.73.0.10"), "0.0.0.0:80")
	m := open(t, "aaaaa9", "100.74.0.0/16")
	b := attach(t, m, "a", "100.74.0.10")
	if _, err := ask(b, "100.73.0.10:80"); err == nil {
		t.Error("one computer's member reaches another's")
	}
	if _, err := Open(t.Context(), Options{Computer: "aaaaaa", Run: t.TempDir(), Range: "100.74.3.0/24"}); volvox.CodeOf(err) != volvox.SubnetTaken {
		t.Errorf("a range inside another computer's: %v", err)
	}
	if err := m.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(machine, "100.73.0.10:80"); err != nil {
		t.Errorf("purging one computer harmed the other: %v", err)
	}
}

func TestAnotherRange(t *testing.T) {
	n := open(t, "aaaaab", "100.75.0.0/16")
	moved, err := Open(t.Context(), Options{Computer: "aaaaab", Run: filepath.Dir(n.dir), Range: "100.76.0.0/20"})
	if err != nil {
		t.Fatal(err)
	}
	listen(t, attach(t, moved, "a", "100.76.2.10"), "0.0.0.0:80")
	if _, err := ask(machine, "100.76.2.10:80"); err != nil {
		t.Error(err)
	}
	for _, line := range traces(t) {
		if strings.Contains(line, "100.75.") {
			t.Errorf("left of the old range: %s", line)
		}
	}
	if got, err := moved.addrs.Addr().Next(), error(nil); err != nil || got != netip.MustParseAddr("100.76.0.1") || moved.Gateway() != got {
		t.Errorf("gateway %v", moved.Gateway())
	}
}
