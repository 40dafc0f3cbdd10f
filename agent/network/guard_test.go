package network

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// breach takes the guard of a namespace away, and does more.
func breach(t *testing.T, path string, more func(in *inside) error) {
	t.Helper()
	in, err := enter(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	err = within(path, func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: guardTable})
		return c.Flush()
	})
	if err == nil && more != nil {
		err = more(in)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// call connects from the link of a namespace, whatever its routes say, and
// closes the connection again.
func call(path, to string, port int) error {
	return within(path, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 10})
		if err := unix.BindToDevice(fd, innerName); err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(to).To4())})
	})
}

// TestMachineIsOutOfReach: an instance reaches no program of the machine, by
// none of its addresses, and what the machine asks of it is answered.
func TestMachineIsOutOfReach(t *testing.T) {
	n := open(t, "aaaab1", "100.74.0.0/16")
	a := attach(t, n, "a", "100.74.0.10")
	outside(t) // the machine has the address 100.127.0.1
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })

	addresses := []string{"100.74.0.1", "100.127.0.1"}
	for _, addr := range addresses {
		if _, err := ask(a, fmt.Sprintf("%s:%d", addr, port)); err == nil {
			t.Errorf("it reached the machine at %s", addr)
		}
		if err := call(a, addr, port); err == nil {
			t.Errorf("it reached the machine at %s by the link", addr)
		}
	}
	if err := send(a, "100.74.0.10", fmt.Sprintf("100.74.0.1:%d", port)); err == nil {
		udp.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if k, _, err := udp.ReadFrom(make([]byte, 64)); err == nil {
			t.Errorf("the machine received %d bytes", k)
		}
	}
	listen(t, a, "0.0.0.0:80")
	if as, err := ask(machine, "100.74.0.10:80"); err != nil || as != "100.74.0.1" {
		t.Errorf("the machine asked as %q, %v", as, err)
	}

	// Without the guard all of it is reached, so the test would see it.
	breach(t, a, nil)
	for _, addr := range addresses {
		if err := call(a, addr, port); err != nil {
			t.Errorf("unguarded, the machine at %s: %v", addr, err)
		}
	}
	if err := send(a, "100.74.0.10", fmt.Sprintf("100.74.0.1:%d", port)); err != nil {
		t.Error(err)
	}
	udp.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := udp.ReadFrom(make([]byte, 64)); err != nil {
		t.Errorf("unguarded, a datagram: %v", err)
	}
	attach(t, n, "a", "100.74.0.10") // mends it
	if err := call(a, "100.127.0.1", port); err == nil {
		t.Error("the guard was not mended")
	}
}

// TestRoutesInside: an instance has a route for the range and no other, also
// one that was attached by a version that gave it a default route.
func TestRoutesInside(t *testing.T) {
	n := open(t, "aaaab2", "100.75.0.0/16")
	a := attach(t, n, "a", "100.75.0.10")
	breach(t, a, func(in *inside) error {
		l, err := in.LinkByName(innerName)
		if err != nil {
			return err
		}
		return in.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: n.gateway.AsSlice()})
	})
	attach(t, n, "a", "100.75.0.10")
	in, err := enter(a)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	routes, err := in.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	var to []string
	for _, r := range routes {
		to = append(to, r.Dst.String())
	}
	if got := strings.Join(to, " "); got != "100.75.0.0/16 100.75.0.1/32" {
		t.Errorf("it has routes to %s", got)
	}
}
