package network

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/volvox-os/volvox"
)

func mustChoose(t *testing.T, dir, asked string) netip.Prefix {
	t.Helper()
	got, err := ChooseRange(dir, asked)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParsePrefix(got)
}

// occupy gives the machine a route to addresses.
func occupy(t *testing.T, text string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: netOf(netip.MustParsePrefix(text))}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.RouteDel(route) })
}

func TestChooseRange(t *testing.T) {
	dir := t.TempDir()
	first := mustChoose(t, dir, "")
	if first.Bits() != 16 || !shared.Overlaps(first) {
		t.Errorf("chose %v", first)
	}
	if again := mustChoose(t, filepath.Join(dir, "x", ".."), ""); again != first {
		t.Errorf("chose %v, then %v", first, again)
	}
	occupy(t, "100.64.0.0/10")
	if got, err := ChooseRange(dir, ""); volvox.CodeOf(err) != volvox.SubnetTaken {
		t.Errorf("with no room: %v, %v", got, err)
	}
}

func TestChooseNext(t *testing.T) {
	dir := t.TempDir()
	first := mustChoose(t, dir, "")
	occupy(t, netip.PrefixFrom(first.Addr(), 28).String())
	second := mustChoose(t, dir, "")
	if second.Overlaps(first) || second.Bits() != 16 || !shared.Overlaps(second) {
		t.Errorf("%v is taken, and %v was chosen", first, second)
	}
	if _, err := ChooseRange(dir, first.String()); volvox.CodeOf(err) != volvox.SubnetTaken {
		t.Errorf("asked for a taken range: %v", err)
	}
	if got := mustChoose(t, dir, second.String()); got != second {
		t.Errorf("asked for %v, got %v", second, got)
	}
}

func TestChooseOwn(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	layout, err := volvox.LayoutOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := open(t, layout.ID, "100.90.0.0/18")
	attach(t, n, "a", "100.90.0.10")
	for _, asked := range []string{"", "100.90.0.0/18", "100.90.0.0/16"} {
		got, err := ChooseRange(dir, asked)
		if err != nil || asked != "" && got != asked || asked == "" && got != "100.90.0.0/18" {
			t.Errorf("asked for %q of its own: %s, %v", asked, got, err)
		}
	}
	occupy(t, "100.90.63.0/24")
	if _, err := Open(t.Context(), Options{Computer: layout.ID, Run: filepath.Dir(n.dir), Range: "100.90.0.0/18"}); err != nil {
		t.Errorf("its own range, which got a route of the machine's later: %v", err)
	}
	if _, err := ChooseRange(other, "100.90.0.0/18"); volvox.CodeOf(err) != volvox.SubnetTaken {
		t.Errorf("asked for another computer's: %v", err)
	}
}

func TestChooseBad(t *testing.T) {
	for _, bad := range []string{"10.0.0.0/16", "100.64.0.0/15", "100.64.0.0/25", "100.64.0.1/16", "100.128.0.0/16", "fd00::/64", "x", "100.64.0.0"} {
		if _, err := ChooseRange(t.TempDir(), bad); volvox.CodeOf(err) != volvox.BadInput {
			t.Errorf("asked for %q: %v", bad, err)
		}
	}
}
