package network

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Environment of the processes that the tests start.
const (
	machineEnv = "VOLVOX_TEST_MACHINE" // this process is on a machine of its own
	attachEnv  = "VOLVOX_TEST_ATTACH"  // attach and detach in this directory until killed
)

// TestMain runs the tests on a machine of their own: a network and a mount
// namespace that end with the tests, whatever happens.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(attachEnv) != "":
		attachUntilKilled(os.Getenv(attachEnv))
	case os.Getenv(machineEnv) != "":
		os.Exit(onMachine(m))
	default:
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), machineEnv+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func onMachine(m *testing.M) int {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a machine for the tests:", err)
		return 1
	}
	return m.Run()
}

// attachUntilKilled attaches and detaches in an endless loop.
func attachUntilKilled(dir string) {
	n, err := Open(context.Background(), Options{Computer: "c0ffee", Run: dir, Range: "100.70.0.0/16"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		id := fmt.Sprintf("i%d", i%3)
		_, err := n.Attach(context.Background(), id, fmt.Sprintf("100.70.0.%d", 10+i%3))
		if i%2 == 1 {
			err = n.Detach(context.Background(), id)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// open returns a network that is purged when the test ends, and then checks
// that nothing is left of it.
func open(t *testing.T, computer, addrs string) *Network {
	t.Helper()
	before := traces(t)
	dir := t.TempDir()
	n, err := Open(t.Context(), Options{Computer: computer, Run: dir, Range: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if left := difference(traces(t), before); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("left in the run directory: %v", entries)
		}
	})
	return n
}

func attach(t *testing.T, n *Network, id, addr string) string {
	t.Helper()
	path, err := n.Attach(t.Context(), id, addr)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// traces lists all that the network can leave on the machine.
func traces(t *testing.T) []string {
	t.Helper()
	var all []string
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		all = append(all, "link "+l.Attrs().Name)
		addrs, _ := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range addrs {
			all = append(all, "address "+a.String())
		}
	}
	routes, err := allRoutes()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		all = append(all, "route "+r.String())
	}
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		all = append(all, "rule "+r.String())
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all = append(all, "mount "+strings.TrimSpace(line))
	}
	return all
}

func difference(now, before []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(s string) bool { return slices.Contains(before, s) })
}

// within runs f in the network namespace.
func within(path string, f func() error) error {
	in, err := enter(path)
	if err != nil {
		return err
	}
	defer in.close()
	return onThread(func() error {
		if err := unix.Setns(int(in.ns), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// machine is the path of the namespace that the tests are in.
const machine = "/proc/self/ns/net"

// listen answers every connection to a port in a namespace with the address
// that it came from.
func listen(t *testing.T, path, addr string) {
	t.Helper()
	var l net.Listener
	err := within(path, func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
}

// ask connects from a namespace and returns the answer. The socket is made in
// the namespace, by hand, since the net package would make it on any thread.
func ask(path, to string) (string, error) {
	at := netip.MustParseAddrPort(to)
	var answer string
	err := within(path, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		limit := unix.Timeval{Sec: 5}
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
			return err
		}
		buf := make([]byte, 64)
		k, err := unix.Read(fd, buf)
		answer = string(buf[:max(k, 0)])
		return err
	})
	return answer, err
}

// outside joins the machine to a world beyond it, by a default route, and
// returns the name of the link to it.
func outside(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "world")
	if err := makeNamespace(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeNamespace(path) })
	in, err := enter(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "up0"
	up := &netlink.Veth{LinkAttrs: attrs, PeerName: "world0", PeerNamespace: netlink.NsFd(int(in.ns))}
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(netlink.LinkAdd(up))
	t.Cleanup(func() { deleteLink("up0") })
	addr, _ := netlink.ParseAddr("100.127.0.1/24")
	try(netlink.AddrAdd(up, addr))
	try(netlink.LinkSetUp(up))
	world, err := in.LinkByName("world0")
	try(err)
	addr, _ = netlink.ParseAddr("100.127.0.2/24")
	try(in.AddrAdd(world, addr))
	try(in.LinkSetUp(world))
	try(netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(100, 127, 0, 2)}))
	return "up0"
}

// count calls f and returns how many IPv4 packets of the range left through
// the link meanwhile.
func count(t *testing.T, link string, addrs netip.Prefix, f func()) int {
	t.Helper()
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	const ipv4 = 0x0800
	const network = ipv4>>8 | ipv4&0xff<<8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// Packets that leave are seen only by sockets for every protocol.
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: l.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	f()
	n := 0
	buf := make([]byte, 2048)
	for {
		// A packet is queued here before the call that sent it returns.
		k, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return n
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Protocol != network || k < 20 {
			continue
		}
		src, dst := netip.AddrFrom4([4]byte(buf[12:16])), netip.AddrFrom4([4]byte(buf[16:20]))
		if addrs.Contains(src) || addrs.Contains(dst) {
			n++
		}
	}
}

// send sends one datagram from an address in a namespace.
func send(path, from, to string) error {
	src, dst := netip.MustParseAddr(from), netip.MustParseAddrPort(to)
	return within(path, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: src.As4()}); err != nil {
			return err
		}
		return unix.Sendto(fd, []byte(from), 0, &unix.SockaddrInet4{Port: int(dst.Port()), Addr: dst.Addr().As4()})
	})
}

// until polls the condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for: %s", what)
		case <-tick.C:
		}
	}
}

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
