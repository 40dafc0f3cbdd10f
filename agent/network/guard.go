package network

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// guardTable is the packet filter in an instance's namespace.
const guardTable = "volvox"

// Flags of TCP, and where they are in its header.
const (
	tcpFlags = 13
	tcpSyn   = 0x02
	tcpAck   = 0x10
)

// guard keeps the instance to the range: what it sends to other addresses,
// as any program can that binds its socket to the link, whatever the routes
// say, is refused. It also keeps it from calling on the machine: of what it
// sends to the gateway, which is every program of the machine that listens on
// all addresses, only answers pass, and ICMP.
//
// It is in the instance's namespace, in which the instance may change nothing,
// so that it goes with that and whoever empties the machine's packet filter
// does not take it away. It needs no state: connections are not tracked.
func (in *inside) guard(gateway netip.Addr, addrs netip.Prefix) error {
	err := onThread(func() error {
		if err := netns.Set(in.ns); err != nil {
			return err
		}
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: guardTable}
		c.AddTable(table)
		c.DelTable(table) // one that was there; all of this is one transaction
		c.AddTable(table)
		chain := c.AddChain(&nftables.Chain{Name: "output", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
		for _, exprs := range [][]expr.Any{
			append(beyond(addrs), prohibited()),
			append(toward(gateway), begins()...),
			append(toward(gateway), neither(unix.IPPROTO_TCP, unix.IPPROTO_ICMP)...),
		} {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
		}
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("guard the machine from a network namespace: %w", err)
	}
	return nil
}

// destination loads the address that a packet is sent to.
func destination() expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

// beyond matches what leaves by the link for an address outside of the range.
func beyond(addrs netip.Prefix) []expr.Any {
	inner := make([]byte, unix.IFNAMSIZ)
	copy(inner, innerName)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: inner},
		destination(),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: netOf(addrs).Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: addrs.Addr().AsSlice()},
	}
}

// prohibited refuses a packet, and tells its sender.
func prohibited() expr.Any {
	const adminProhibited = 13
	return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: adminProhibited}
}

// toward matches what is sent to the address.
func toward(to netip.Addr) []expr.Any {
	return []expr.Any{
		destination(),
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: to.AsSlice()},
	}
}

// begins matches the first packet of a TCP connection, and resets it.
func begins() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpSyn | tcpAck}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{tcpSyn}},
		&expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
	}
}

// neither refuses all other protocols.
func neither(protocols ...byte) []expr.Any {
	match := []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}}
	for _, p := range protocols {
		match = append(match, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{p}})
	}
	return append(match, prohibited())
}
