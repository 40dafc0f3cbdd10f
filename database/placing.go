package database

import (
	"fmt"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/scheduler"
	"github.com/volvox-os/volvox/store"
)

// kept is the part of a machine's memory, one of so many, that is promised to
// no member: the computer itself and the machine's programs live there.
const kept = 16

// snapshot is the machines and what is reserved on them.
func (s *Service) snapshot(tx *store.Tx) (scheduler.Snapshot, map[string]machine.Machine, error) {
	var snap scheduler.Snapshot
	byName := map[string]machine.Machine{}
	machines, err := s.machines(tx)
	if err != nil {
		return snap, nil, fmt.Errorf("list the machines: %w", err)
	}
	for _, m := range machines {
		byName[m.Name] = m
		place := scheduler.Machine{Name: m.Name, Capacity: scheduler.Resources{
			CPUMillis: m.CPUMillis, MemoryBytes: m.MemoryBytes - m.MemoryBytes/kept, StorageBytes: m.DiskBytes}}
		if m.Phase != volvox.Running {
			place.Closed = "is " + string(m.Phase)
		}
		snap.Machines = append(snap.Machines, place)
	}
	reserved, err := instance.Reserved(tx)
	if err != nil {
		return snap, nil, fmt.Errorf("add up what is reserved: %w", err)
	}
	for _, r := range reserved {
		snap.Placements = append(snap.Placements, scheduler.Placement{Machine: r.Machine, Needs: scheduler.Resources{
			CPUMillis: r.CPUMillis, MemoryBytes: r.MemoryBytes, StorageBytes: r.StorageBytes}})
	}
	return snap, byName, nil
}

// place decides where the members of a blueprint go, for each part in order;
// no room is E_NO_MEMORY, E_NO_CPU or E_NO_STORAGE. taken is added to what is
// reserved and grows by the members placed, so that several blueprints can be
// placed at once.
func (s *Service) place(tx *store.Tx, b blueprint, taken *[]scheduler.Placement) ([][]scheduler.Decision, map[string]machine.Machine, error) {
	snap, machines, err := s.snapshot(tx)
	if err != nil {
		return nil, nil, err
	}
	snap.Placements = append(snap.Placements, *taken...)
	var all [][]scheduler.Decision
	for _, d := range b.demands() {
		plan := snap.Plan(d)
		if plan.Refusal != nil {
			return nil, nil, noRoom(b, *plan.Refusal)
		}
		for _, dec := range plan.Decisions {
			p := scheduler.Placement{Name: dec.Member, Group: d.Group, Machine: dec.Machine, Needs: d.Needs}
			snap.Placements = append(snap.Placements, p)
			*taken = append(*taken, p)
		}
		all = append(all, plan.Decisions)
	}
	return all, machines, nil
}

// noRoom is a refusal in the words and codes of the computer.
func noRoom(b blueprint, r scheduler.Refusal) error {
	code, flag, amount := volvox.Unavailable, "", ""
	switch r.Constraint {
	case scheduler.Memory:
		code, flag, amount = volvox.NoMemory, "memory", volvox.FormatBytes(r.Fits)
	case scheduler.Storage:
		volumes := int64(1) // what fits is for all volumes of a member, what is asked for is for each
		for _, p := range b.parts {
			volumes = max(volumes, int64(len(p.kind.Volumes)))
		}
		code, flag, amount = volvox.NoStorage, "storage", volvox.FormatBytes(r.Fits/volumes>>20<<20)
	case scheduler.CPU:
		code, flag, amount = volvox.NoCPU, "cpu", volvox.FormatCPU(r.Fits)
	}
	err := volvox.Errorf(code, "there is no room for %s", r.Member).About(ref(b.wish.Project, b.wish.Name)).
		Because("%s", r.Reason)
	if flag != "" && r.Fits > 0 {
		err = err.WithTry("ask for less: --%s %s has room", flag, amount)
	}
	if r.Remedy != "" {
		err = err.WithTry("%s", r.Remedy)
	}
	return err
}
