// Package scheduler decides which machine each new member of a group runs on.
// It is pure: the same snapshot and demand give the same plan, whatever the
// order in which machines and placements are listed, and it reads no clock,
// no randomness and no table. Whoever calls it commits the plan.
//
// Memory and storage are reserved: what all placements on a machine were
// promised never exceeds what it has. CPU is shared: a placement may use at
// most what it was promised, promises may add up to more than the machine
// has, and only a demand that the machine could not meet when idle is refused.
package scheduler

import (
	"cmp"
	"slices"
)

// Resources are amounts of what a machine has. Their unit is in the name.
type Resources struct {
	CPUMillis    int64
	MemoryBytes  int64
	StorageBytes int64
}

func (r Resources) plus(o Resources) Resources {
	return Resources{r.CPUMillis + o.CPUMillis, r.MemoryBytes + o.MemoryBytes, r.StorageBytes + o.StorageBytes}
}

// Snapshot is what is known at one moment.
type Snapshot struct {
	Machines   []Machine
	Placements []Placement
}

// Machine is somewhere to place members.
type Machine struct {
	Name     string
	Capacity Resources // all that may be promised, what is promised already included
	// Closed says why the machine takes no new member, in words that go on
	// from "the machine": "is Failed". Empty: it takes them.
	Closed string
}

// Placement is what a machine has promised already. One on a machine that is
// not in the snapshot counts for nothing.
type Placement struct {
	Name    string
	Group   string
	Machine string
	Needs   Resources
}

// Demand is the wish for members of one group. They all need the same, so
// that a plan is found whenever there is one.
type Demand struct {
	Group   string
	Members []Member
	Needs   Resources // of each member
}

// Member is one thing to place. One that has a placement already stays there.
type Member struct {
	Name string
	// Pinned is the machine that holds the member's volumes; empty if it has
	// none yet.
	Pinned string
}

// Plan is the answer: a machine for every member, in the order of the demand,
// or a refusal and no decision at all.
type Plan struct {
	Decisions []Decision
	Refusal   *Refusal
}

// Decision places one member.
type Decision struct {
	Member  string
	Machine string
	Reason  string // why there, in words
}

// Plan places the members of the demand. Members of a group are spread over
// machines as evenly as room allows; they may share one. Among machines that
// hold equally few of them, the one with the largest part of its memory free
// is taken, then the first by name.
func (s Snapshot) Plan(d Demand) Plan {
	machines := s.load(d.Group)
	decided := map[string]Decision{}
	for _, p := range s.Placements {
		decided[p.Name] = Decision{p.Name, p.Machine, "it is there already"}
	}
	open := Demand{Group: d.Group, Needs: d.Needs}
	for _, m := range d.Members {
		if _, there := decided[m.Name]; !there {
			open.Members = append(open.Members, m)
		}
	}
	// Those that are pinned have no choice, so they come first.
	slices.SortStableFunc(open.Members, func(a, b Member) int { return -cmp.Compare(min(1, len(a.Pinned)), min(1, len(b.Pinned))) })
	for _, m := range open.Members {
		best := choose(machines, m, d.Needs)
		if best == nil {
			return Plan{Refusal: refuse(s.load(d.Group), open, m)}
		}
		decided[m.Name] = Decision{m.Name, best.Name, reason(machines, best, m, d)}
		best.promised = best.promised.plus(d.Needs)
		best.group = append(best.group, m.Name)
	}
	plan := Plan{}
	for _, m := range d.Members {
		plan.Decisions = append(plan.Decisions, decided[m.Name])
	}
	return plan
}

// loaded is a machine with what it has promised.
type loaded struct {
	Machine
	promised Resources
	group    []string // members of the demand's group on it
}

// load returns the machines by name with the placements added up.
func (s Snapshot) load(group string) []*loaded {
	machines := make([]*loaded, 0, len(s.Machines))
	byName := map[string]*loaded{}
	for _, m := range s.Machines {
		l := &loaded{Machine: m}
		machines, byName[m.Name] = append(machines, l), l
	}
	slices.SortFunc(machines, func(a, b *loaded) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range s.Placements {
		l := byName[p.Machine]
		if l == nil {
			continue
		}
		l.promised = l.promised.plus(p.Needs)
		if p.Group == group && group != "" {
			l.group = append(l.group, p.Name)
		}
	}
	for _, l := range machines {
		slices.Sort(l.group)
	}
	return machines
}

// choose returns the best machine for a member, nil if none has room.
func choose(machines []*loaded, m Member, needs Resources) *loaded {
	var best *loaded
	for _, l := range machines {
		if l.obstacle(m, needs) == None && (best == nil || l.better(best)) {
			best = l
		}
	}
	return best
}

// better orders machines that have room; by name they are ordered already.
func (l *loaded) better(o *loaded) bool {
	if len(l.group) != len(o.group) {
		return len(l.group) < len(o.group)
	}
	return l.freeMemory() > o.freeMemory()
}

// freeMemory is the part of the machine's memory that is not promised.
func (l *loaded) freeMemory() float64 {
	if l.Capacity.MemoryBytes <= 0 {
		return 0
	}
	return float64(l.Capacity.MemoryBytes-l.promised.MemoryBytes) / float64(l.Capacity.MemoryBytes)
}

// free is what may still be promised; of CPU, what one member may be.
func (l *loaded) free() Resources {
	return Resources{
		CPUMillis:    l.Capacity.CPUMillis,
		MemoryBytes:  max(0, l.Capacity.MemoryBytes-l.promised.MemoryBytes),
		StorageBytes: max(0, l.Capacity.StorageBytes-l.promised.StorageBytes),
	}
}

// obstacle is the first thing that keeps the member from the machine.
func (l *loaded) obstacle(m Member, needs Resources) Constraint {
	free := l.free()
	switch {
	case m.Pinned != "" && m.Pinned != l.Name:
		return Pin
	case l.Closed != "":
		return Closed
	case needs.CPUMillis > free.CPUMillis:
		return CPU
	case needs.MemoryBytes > free.MemoryBytes:
		return Memory
	case needs.StorageBytes > free.StorageBytes:
		return Storage
	default:
		return None
	}
}
