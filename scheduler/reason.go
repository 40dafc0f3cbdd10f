package scheduler

import (
	"fmt"
	"math"
	"strings"

	"github.com/volvox-os/volvox"
)

// Constraint is what keeps a member from a machine.
type Constraint string

// The constraints.
const (
	None     Constraint = ""
	CPU      Constraint = "cpu"
	Memory   Constraint = "memory"
	Storage  Constraint = "storage"
	Closed   Constraint = "closed"   // the machine takes no new member
	Pin      Constraint = "pin"      // the member's volumes are on another machine
	Machines Constraint = "machines" // there is no machine at all
)

// Refusal says why a demand has no plan.
type Refusal struct {
	Member     string     // the first one without a place
	Constraint Constraint // the one that binds: it keeps the member from most machines
	Blocked    int        // machines on which it binds
	Of         int        // all machines
	// Fits is the largest amount of the binding resource, for each member,
	// with which the whole demand would have a plan; 0 if there is none.
	Fits   int64
	Reason string // why, in words
	Remedy string // what else would make room than asking for what fits, in words; may be empty
}

// reason says why a member goes to a machine.
func reason(machines []*loaded, chosen *loaded, m Member, d Demand) string {
	room := 0
	for _, l := range machines {
		if l.obstacle(m, d.Needs) == None {
			room++
		}
	}
	memory := fmt.Sprintf("%s of %s memory free", volvox.ShowBytes(chosen.free().MemoryBytes), volvox.ShowBytes(chosen.Capacity.MemoryBytes))
	switch {
	case m.Pinned != "":
		return "its volumes are there"
	case len(machines) == 1:
		return "the only machine; " + memory
	case room == 1:
		return fmt.Sprintf("the only one of %d machines with room; %s", len(machines), memory)
	case len(chosen.group) > 0:
		return fmt.Sprintf("each of the %d machines with room has members of %s, this one fewest (%s); %s", room, d.Group, strings.Join(chosen.group, ", "), memory)
	default:
		return fmt.Sprintf("of %d machines with room it has no member of %s and the largest part of its memory free: %s", room, d.Group, memory)
	}
}

// refuse explains why the member has no place. The machines are as they were
// before any member of the demand was placed.
func refuse(machines []*loaded, d Demand, m Member) *Refusal {
	r := &Refusal{Member: m.Name, Of: len(machines)}
	if len(machines) == 0 {
		r.Constraint, r.Reason, r.Remedy = Machines, "there is no machine", "wait until a machine has registered"
		return r
	}
	blocked := map[Constraint]int{}
	for _, l := range machines {
		blocked[l.shortage(m, d)]++
	}
	for _, c := range []Constraint{Memory, Storage, CPU, Closed, Pin} {
		// A pin leaves one machine; what is wrong with that one binds.
		if n := blocked[c]; n > r.Blocked && (c != Pin || r.Blocked == 0) {
			r.Constraint, r.Blocked = c, n
		}
	}
	switch r.Constraint {
	case Memory, Storage, CPU:
		r.Fits = fits(machines, d, r.Constraint)
		r.Reason, r.Remedy = r.short(machines, d)
	case Pin:
		r.Reason = fmt.Sprintf("its volumes are on machine %s, which is not there", m.Pinned)
		r.Remedy = "bring machine " + m.Pinned + " back"
	case Closed:
		r.Reason, r.Remedy = r.closed(machines)
	}
	return r
}

// shortage is what keeps the demand from being met on this machine alone.
func (l *loaded) shortage(m Member, d Demand) Constraint {
	if c := l.obstacle(m, d.Needs); c != None {
		return c
	}
	free, n := l.free(), int64(len(d.Members))
	if d.Needs.MemoryBytes > free.MemoryBytes/n {
		return Memory
	}
	if d.Needs.StorageBytes > free.StorageBytes/n {
		return Storage
	}
	return CPU
}

func (r *Refusal) short(machines []*loaded, d Demand) (reason, remedy string) {
	show := volvox.ShowBytes
	if r.Constraint == CPU {
		show = volvox.FormatCPU
	}
	var best *loaded
	for _, l := range machines {
		if l.Closed == "" && (best == nil || r.Constraint.of(l.free()) > r.Constraint.of(best.free())) {
			best = l
		}
	}
	need, has := r.Constraint.of(d.Needs), r.Constraint.of(best.free())
	asked := show(need) + " " + string(r.Constraint)
	if n := len(d.Members); n > 1 {
		asked = fmt.Sprintf("%d members ask for %s each", n, asked)
	} else {
		asked += " is asked for"
	}
	reason = fmt.Sprintf("%s; %s has %s of %s free", asked, machineName(best, machines), show(has), show(r.Constraint.of(best.Capacity)))
	if r.Constraint == CPU {
		reason = fmt.Sprintf("%s; %s has %s", asked, machineName(best, machines), show(has))
	}
	switch {
	case r.Constraint != CPU && r.Constraint.of(best.promised) > 0:
		remedy = fmt.Sprintf("delete something: %s of %s is reserved", show(r.Constraint.of(best.promised)), r.Constraint)
	case r.Fits == 0:
		remedy = "ask for less " + string(r.Constraint)
	}
	return reason, remedy
}

func (r *Refusal) closed(machines []*loaded) (reason, remedy string) {
	for _, l := range machines {
		if l.Closed != "" {
			return fmt.Sprintf("machine %s %s", l.Name, l.Closed), "wait until it is Running again; `volvox status` shows it"
		}
	}
	return "no machine takes new members", ""
}

func machineName(best *loaded, machines []*loaded) string {
	if len(machines) == 1 {
		return "machine " + best.Name
	}
	return fmt.Sprintf("the freest of %d machines, %s,", len(machines), best.Name)
}

// of is the constraint's resource.
func (c Constraint) of(r Resources) int64 {
	switch c {
	case CPU:
		return r.CPUMillis
	case Storage:
		return r.StorageBytes
	default:
		return r.MemoryBytes
	}
}

func (c Constraint) with(r Resources, amount int64) Resources {
	switch c {
	case CPU:
		r.CPUMillis = amount
	case Storage:
		r.StorageBytes = amount
	default:
		r.MemoryBytes = amount
	}
	return r
}

// fits searches the largest amount with which all members have a place,
// ignoring pins: those narrow it only further when machines are lost.
func fits(machines []*loaded, d Demand, c Constraint) int64 {
	step := int64(1 << 20)
	if c == CPU {
		step = 100
	}
	low, high := int64(0), c.of(d.Needs)/step // low fits (or is nothing), high does not
	for low+1 < high {
		middle := low + (high-low)/2
		if slots(machines, c.with(d.Needs, middle*step)) >= int64(len(d.Members)) {
			low = middle
		} else {
			high = middle
		}
	}
	return low * step
}

// slots is the number of members that the machines have room for.
func slots(machines []*loaded, needs Resources) int64 {
	var sum int64
	for _, l := range machines {
		if l.Closed != "" || needs.CPUMillis > l.Capacity.CPUMillis {
			continue
		}
		n := int64(math.MaxInt32)
		if needs.MemoryBytes > 0 {
			n = min(n, l.free().MemoryBytes/needs.MemoryBytes)
		}
		if needs.StorageBytes > 0 {
			n = min(n, l.free().StorageBytes/needs.StorageBytes)
		}
		sum += n
	}
	return sum
}
