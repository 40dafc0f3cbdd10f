package database

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/scheduler"
	"github.com/volvox-os/volvox/store"
)

// Plan says what applying a wish would do now. It changes nothing and needs no
// room to be kept: another wish may take it meanwhile.
func (s *Service) Plan(ctx context.Context, w Wish) (Plan, error) {
	plans, err := s.PlanAll(ctx, []Wish{w})
	if err != nil {
		return Plan{}, err
	}
	return plans[0], nil
}

// PlanAll says what applying the wishes together would do now. A wish that
// would be refused is a plan with an error; an error of PlanAll itself means
// that nothing could be found out.
func (s *Service) PlanAll(ctx context.Context, wishes []Wish) ([]Plan, error) {
	var plans []Plan
	err := s.db.View(ctx, func(tx *store.Tx) error {
		plans = nil
		var taken []scheduler.Placement
		for _, w := range wishes {
			p, err := s.plan(tx, w, &taken)
			if err != nil {
				return err
			}
			plans = append(plans, p)
		}
		return nil
	})
	return plans, err
}

// Applied is what became of a wish.
type Applied struct {
	Plan    Plan    `json:"plan"`
	Cluster Cluster `json:"cluster"`
	// Workflow makes it; empty when nothing was to be done.
	Workflow string `json:"workflow"`
}

// Apply makes the databases wished for that are not there yet, all of them or
// none: if one wish is refused, its error is returned and nothing is done. A
// database that is there as wished is left alone.
func (s *Service) Apply(ctx context.Context, wishes []Wish) ([]Applied, error) {
	plans, err := s.PlanAll(ctx, wishes)
	if err != nil {
		return nil, err
	}
	var create []Wish
	for i, p := range plans {
		if p.Error != nil {
			return nil, p.Error
		}
		if p.Action == ActionCreate {
			create = append(create, wishes[i])
		}
	}
	made, err := s.createAll(ctx, create)
	if err != nil {
		return nil, err
	}
	applied := make([]Applied, len(plans))
	for i, p := range plans {
		applied[i].Plan = p
		if p.Action == ActionCreate {
			applied[i].Cluster, applied[i].Workflow = made[0], made[0].Workflow
			made = made[1:]
			continue
		}
		project, _ := projectOf(wishes[i])
		if applied[i].Cluster, err = s.Get(ctx, project, wishes[i].Name); err != nil {
			return nil, err
		}
	}
	return applied, nil
}

func projectOf(w Wish) (project, name string) {
	if w.Project == "" {
		return volvox.DefaultProject, w.Name
	}
	return w.Project, w.Name
}

// plan is the plan of one wish; errors that the person can do something about
// are in it.
func (s *Service) plan(tx *store.Tx, w Wish, taken *[]scheduler.Placement) (Plan, error) {
	plan := Plan{Cluster: w.Name, Action: ActionRefused, Engine: w.Engine, Params: w.Params, Members: []PlannedMember{}, Steps: []string{}}
	if plan.Params == nil {
		plan.Params = map[string]string{}
	}
	refuse := func(err error) (Plan, error) {
		e := volvox.AsError(about(err, w))
		if e.Kind() == volvox.KindInternal {
			return plan, err
		}
		plan.Error = e
		return plan, nil
	}
	project, name := projectOf(w)
	c, there, err := findCluster(tx, project, name)
	switch {
	case err != nil:
		return plan, err
	case there && c.Phase == volvox.Deleting:
		return refuse(deleting(c))
	case there:
		if err := s.unchanged(tx, c, w); err != nil {
			return refuse(err)
		}
		plan.Action, plan.Version, plan.Topology, plan.Params = ActionNone, c.Version, c.Topology, c.Params
		return plan, nil
	}
	b, err := s.resolve(w)
	if err != nil {
		return refuse(err)
	}
	if err := s.vacant(tx, b); err != nil {
		return refuse(err)
	}
	placed, _, err := s.place(tx, b, taken)
	if err != nil {
		return refuse(err)
	}
	plan.Action, plan.Version, plan.Topology = ActionCreate, b.wish.Version, b.wish.Topology
	for i, decisions := range placed {
		for _, d := range decisions {
			needs := b.parts[i].needs
			plan.Members = append(plan.Members, PlannedMember{Name: d.Member, Machine: d.Machine, Reason: d.Reason,
				CPUMillis: needs.CPUMillis, MemoryBytes: needs.MemoryBytes, StorageBytes: needs.StorageBytes})
		}
	}
	for _, st := range program(b) {
		if st.Do != doPlace {
			plan.Steps = append(plan.Steps, st.Name)
			continue
		}
		for _, m := range plan.Members {
			plan.Steps = append(plan.Steps, fmt.Sprintf("place %s on %s (%s)", m.Name, m.Machine, m.Reason))
		}
	}
	return plan, nil
}

// unchanged is nil when a cluster is as a wish wants it; what the wish leaves
// open is as it is. Every difference is one that cannot be made today, and is
// E_UNSUPPORTED with the field.
func (s *Service) unchanged(tx *store.Tx, c Cluster, w Wish) error {
	if w.Engine != c.Engine {
		return cannotChange(c, "engine", c.Engine, w.Engine)
	}
	parts, err := components(tx, c.Project, c.Name)
	if err != nil {
		return err
	}
	is, err := s.blueprintOf(c, parts)
	if err != nil {
		return err
	}
	if w.Params == nil {
		w.Params = c.Params
	}
	wished, err := s.resolve(Wish{Project: c.Project, Name: c.Name, Engine: c.Engine,
		Version: cmp.Or(w.Version, c.Version), Topology: cmp.Or(w.Topology, c.Topology), Replicas: cmp.Or(w.Replicas, c.Replicas),
		CPUMillis: cmp.Or(w.CPUMillis, c.CPUMillis), MemoryBytes: cmp.Or(w.MemoryBytes, c.MemoryBytes),
		StorageBytes: cmp.Or(w.StorageBytes, c.StorageBytes), Params: w.Params})
	if err != nil {
		return err
	}
	x, y := is.wish, wished.wish
	for _, f := range []struct{ name, is, wished string }{
		{"version", x.Version, y.Version},
		{"topology", x.Topology, y.Topology},
		{"replicas", strconv.Itoa(x.Replicas), strconv.Itoa(y.Replicas)},
		{"cpu", volvox.FormatCPU(c.CPUMillis), volvox.FormatCPU(y.CPUMillis)},
		{"memory", volvox.FormatBytes(c.MemoryBytes), volvox.FormatBytes(y.MemoryBytes)},
		{"storage", volvox.FormatBytes(c.StorageBytes), volvox.FormatBytes(y.StorageBytes)},
	} {
		if f.is != f.wished {
			return cannotChange(c, f.name, f.is, f.wished)
		}
	}
	for i, p := range is.parts {
		for _, name := range slices.Sorted(maps.Keys(p.params)) {
			if a, b := p.params[name], wished.parts[i].params[name]; a != b {
				return cannotChange(c, "params."+name, strconv.Quote(a), strconv.Quote(b))
			}
		}
	}
	return nil
}

func cannotChange(c Cluster, field, is, wished string) error {
	return volvox.Errorf(volvox.Unsupported, "%s of database %s cannot be changed from %s to %s", field, c.Name, is, wished).
		About(c.Ref()).
		Because("this version of Volvox makes and deletes databases; it does not change them yet").
		WithTry("leave %s as it is, or make another database", field)
}
