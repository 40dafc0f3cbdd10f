package database

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/scheduler"
)

// The least that a member is given, whatever its engine.
const (
	leastCPU     = 10
	leastMemory  = 8 << 20
	leastStorage = 1 << 20
	mostReplicas = 99
)

// blueprint is a wish with everything filled in and checked, and what the
// addon says about it.
type blueprint struct {
	wish    Wish
	addon   *addon.Addon
	version addon.Version
	parts   []part // in the order of creation
}

// part is one component of a blueprint.
type part struct {
	name     string // in the names of instances
	kind     *addon.Component
	replicas int
	needs    addon.Resources   // of each member
	params   map[string]string // every parameter, defaults computed
}

// resolve checks a wish against the addons and fills it in. It looks at
// nothing that changes.
func (s *Service) resolve(w Wish) (blueprint, error) {
	b := blueprint{wish: w}
	b.wish.Project = cmp.Or(w.Project, volvox.DefaultProject)
	if err := checkWish(b.wish); err != nil {
		return b, err
	}
	var err error
	if b.addon, err = s.findAddon(w.Engine); err != nil {
		return b, err
	}
	if b.version, err = b.addon.Version(w.Version); err != nil {
		return b, err
	}
	topology, err := b.topology()
	if err != nil {
		return b, err
	}
	b.wish.Version, b.wish.Topology = b.version.Name, topology.Name
	if err := b.addParts(topology); err != nil {
		return b, err
	}
	first := b.parts[0].needs
	b.wish.CPUMillis, b.wish.MemoryBytes, b.wish.StorageBytes = first.CPUMillis, first.MemoryBytes, first.StorageBytes
	return b, b.setParams()
}

// checkWish looks at what needs no addon.
func checkWish(w Wish) error {
	if err := volvox.CheckName("database", w.Name); err != nil {
		return err
	}
	if err := volvox.CheckName("project", w.Project); err != nil {
		return err
	}
	if w.Replicas < 0 || w.Replicas > mostReplicas {
		return volvox.Errorf(volvox.BadInput, "%d is not a number of replicas", w.Replicas).
			Because("replicas counts all members, from 1 to %d", mostReplicas).WithTry("--replicas 1")
	}
	for _, r := range []struct {
		flag, unit   string
		asked, least int64
		show         func(int64) string
	}{
		{"cpu", "CPU", w.CPUMillis, leastCPU, volvox.FormatCPU},
		{"memory", "memory", w.MemoryBytes, leastMemory, volvox.FormatBytes},
		{"storage", "storage", w.StorageBytes, leastStorage, volvox.FormatBytes},
	} {
		if r.asked != 0 && r.asked < r.least {
			return volvox.Errorf(volvox.BadInput, "%s %s is too little for a member", r.show(r.asked), r.unit).
				Because("the least is %s", r.show(r.least)).WithTry("leave --%s out, and the engine's addon chooses", r.flag)
		}
	}
	return nil
}

func (s *Service) findAddon(engine string) (*addon.Addon, error) {
	var names []string
	for _, a := range s.addons {
		if a.Name == engine {
			return a, nil
		}
		names = append(names, a.Name)
	}
	if why := s.broken[engine]; why != nil {
		return nil, volvox.Errorf(volvox.UnknownEngine, "the addon of engine %q cannot be used", engine).From(why).
			WithTry("mend it, then start the computer again")
	}
	slices.Sort(names)
	what := volvox.Errorf(volvox.UnknownEngine, "there is no engine %q", engine)
	if engine == "" {
		what = volvox.Errorf(volvox.UnknownEngine, "the wish names no engine")
	}
	what = what.Because("the engines are: %s", strings.Join(names, ", "))
	if near := volvox.Closest(engine, names); near != "" {
		return nil, what.WithTry("--engine %s", near)
	}
	return nil, what.WithTry("volvox db engines")
}

// topology chooses the topology and, when the wish leaves it open, the number
// of members: one, or as few as the topology can have.
func (b *blueprint) topology() (addon.Topology, error) {
	t, err := b.addon.Topology(b.wish.Topology, cmp.Or(b.wish.Replicas, 1))
	if err != nil && b.wish.Replicas == 0 {
		t, err = b.addon.Topology(b.wish.Topology, 0)
	}
	least, _ := t.Replicas()
	b.wish.Replicas = cmp.Or(b.wish.Replicas, least)
	return t, err
}

// addParts spreads the replicas over the topology's components: each gets its
// least, and what is left goes to the first ones that may have more.
func (b *blueprint) addParts(t addon.Topology) error {
	left := b.wish.Replicas
	for _, c := range t.Components {
		left -= c.MinReplicas
	}
	for _, c := range t.Components {
		more := max(0, min(left, c.MaxReplicas-c.MinReplicas))
		left -= more
		kind := b.addon.Components[c.Component]
		if kind == nil {
			return volvox.Errorf(volvox.BadFile, "the addon of %s is not whole", b.addon.Name).
				Because("topology %s names component %q, which it does not have", t.Name, c.Component)
		}
		p := part{name: c.Name, kind: kind, replicas: c.MinReplicas + more, needs: addon.Resources{
			CPUMillis:    cmp.Or(b.wish.CPUMillis, kind.Defaults.CPUMillis),
			MemoryBytes:  cmp.Or(b.wish.MemoryBytes, kind.Defaults.MemoryBytes),
			StorageBytes: cmp.Or(b.wish.StorageBytes, kind.Defaults.StorageBytes),
		}}
		if last := memberName(b.wish.Name, p.name, p.replicas-1); len(last) > 63 {
			return volvox.Errorf(volvox.BadName, "%q is too long for the name of a database of %s", b.wish.Name, b.addon.Name).
				Because("its members would have names such as %s, and a name in DNS has at most 63 characters", last).
				WithTry("choose a name of at most %d characters", len(b.wish.Name)-(len(last)-63))
		}
		b.parts = append(b.parts, p)
	}
	if left != 0 {
		return volvox.Errorf(volvox.UnknownTopology, "topology %s of %s cannot have so many members (%d)", t.Name, b.addon.Name, b.wish.Replicas)
	}
	return nil
}

// setParams gives each component the parameters that it knows; one that none
// knows is the first component's to refuse.
func (b *blueprint) setParams() error {
	known := map[string]bool{}
	for _, p := range b.parts {
		for _, param := range p.kind.Params {
			known[param.Name] = true
		}
	}
	for i := range b.parts {
		p := &b.parts[i]
		set := map[string]string{}
		for name, value := range b.wish.Params {
			mine := slices.ContainsFunc(p.kind.Params, func(q addon.Parameter) bool { return q.Name == name })
			if mine || (i == 0 && !known[name]) {
				set[name] = value
			}
		}
		var err error
		if p.params, err = p.kind.Parameters(set, b.values(*p, 0)); err != nil {
			return err
		}
	}
	return nil
}

// values are what the addon's templates see of one member.
func (b blueprint) values(p part, ordinal int) addon.Values {
	return addon.Values{
		Cluster: b.wish.Name, Project: b.wish.Project, Component: p.name,
		Member: memberName(b.wish.Name, p.name, ordinal), Ordinal: ordinal,
		Version: b.version.Name, Replicas: p.replicas,
		CPUMillis: p.needs.CPUMillis, MemoryBytes: p.needs.MemoryBytes, StorageBytes: p.needs.StorageBytes,
		Params: maps.Clone(p.params),
	}
}

// spec is what one member is made of.
func (b blueprint) spec(p part, ordinal int) (instance.Spec, error) {
	return p.kind.Render(b.addon, b.version, b.values(p, ordinal))
}

// members are the names of a part's members.
func (b blueprint) members(p part) []string {
	names := make([]string, p.replicas)
	for i := range names {
		names[i] = memberName(b.wish.Name, p.name, i)
	}
	return names
}

// demands are what the scheduler is asked, one for each part.
func (b blueprint) demands() []scheduler.Demand {
	var demands []scheduler.Demand
	for _, p := range b.parts {
		d := scheduler.Demand{Group: b.wish.Name + "-" + p.name, Needs: scheduler.Resources{
			CPUMillis: p.needs.CPUMillis, MemoryBytes: p.needs.MemoryBytes,
			StorageBytes: p.needs.StorageBytes * int64(len(p.kind.Volumes)),
		}}
		for _, name := range b.members(p) {
			d.Members = append(d.Members, scheduler.Member{Name: name})
		}
		demands = append(demands, d)
	}
	return demands
}

// blueprintOf is the blueprint of a cluster that is there: what its rows say,
// and what its addon says today.
func (s *Service) blueprintOf(c Cluster, parts []Component) (blueprint, error) {
	b, err := s.resolve(Wish{Project: c.Project, Name: c.Name, Engine: c.Engine, Version: c.Version, Topology: c.Topology,
		Replicas: c.Replicas, CPUMillis: c.CPUMillis, MemoryBytes: c.MemoryBytes, StorageBytes: c.StorageBytes, Params: c.Params})
	if err != nil {
		return b, err
	}
	b.parts = nil
	for _, row := range parts {
		kind := b.addon.Components[row.Kind]
		if kind == nil {
			return b, volvox.Errorf(volvox.Unsupported, "the addon of %s has no component %q any more", c.Engine, row.Kind)
		}
		b.parts = append(b.parts, part{name: row.Name, kind: kind, replicas: row.Replicas, needs: addon.Resources{
			CPUMillis: row.CPUMillis, MemoryBytes: row.MemoryBytes, StorageBytes: row.StorageBytes}})
	}
	return b, b.setParams()
}
