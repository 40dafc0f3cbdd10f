package database

import (
	"context"
	"fmt"
	"maps"
	"slices"

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
	plan := Plan{Cluster: w.Name, Action: ActionRefused}
	refuse := func(err error) (Plan, error) {
		e := volvox.AsError(about(err, w))
		if e.Kind() == volvox.KindInternal {
			return plan, err
		}
		plan.Error = e
		return plan, nil
	}
	b, err := s.resolve(w)
	if err != nil {
		return refuse(err)
	}
	c, there, err := findCluster(tx, b.wish.Project, b.wish.Name)
	switch {
	case err != nil:
		return plan, err
	case there && c.Phase == volvox.Deleting:
		return refuse(deleting(c))
	case there:
		if err := sameAs(c, w); err != nil {
			return refuse(err)
		}
		plan.Action = ActionNone
		return plan, nil
	}
	if err := s.vacant(tx, b); err != nil {
		return refuse(err)
	}
	placed, _, err := s.place(tx, b, taken)
	if err != nil {
		return refuse(err)
	}
	plan.Action = ActionCreate
	for _, st := range program(b) {
		if st.Do != doPlace {
			plan.Steps = append(plan.Steps, st.Name)
			continue
		}
		for _, decisions := range placed {
			for _, d := range decisions {
				plan.Steps = append(plan.Steps, fmt.Sprintf("place %s on %s (%s)", d.Member, d.Machine, d.Reason))
			}
		}
	}
	return plan, nil
}

// sameAs is nil when a cluster is as a wish wants it; what the wish leaves
// open is as it may be. Every difference is one that cannot be made today.
func sameAs(c Cluster, w Wish) error {
	differ := func(field, is, wished string) error {
		if wished == is {
			return nil
		}
		return volvox.Errorf(volvox.Unsupported, "%s of database %s cannot be changed from %s to %s", field, c.Name, is, wished).
			About(c.Ref()).
			Because("this version of Volvox makes and deletes databases; it does not change them yet").
			WithTry("leave %s as it is, or make another database", field)
	}
	type field struct{ name, is, wished string }
	fields := []field{{"engine", c.Engine, w.Engine}}
	if w.Version != "" {
		fields = append(fields, field{"version", c.Version, w.Version})
	}
	if w.Topology != "" {
		fields = append(fields, field{"topology", c.Topology, w.Topology})
	}
	if w.Replicas != 0 {
		fields = append(fields, field{"replicas", fmt.Sprint(c.Replicas), fmt.Sprint(w.Replicas)})
	}
	if w.CPUMillis != 0 {
		fields = append(fields, field{"cpu", volvox.FormatCPU(c.CPUMillis), volvox.FormatCPU(w.CPUMillis)})
	}
	if w.MemoryBytes != 0 {
		fields = append(fields, field{"memory", volvox.FormatBytes(c.MemoryBytes), volvox.FormatBytes(w.MemoryBytes)})
	}
	if w.StorageBytes != 0 {
		fields = append(fields, field{"storage", volvox.FormatBytes(c.StorageBytes), volvox.FormatBytes(w.StorageBytes)})
	}
	if w.Params != nil {
		all := maps.Clone(c.Params)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, w.Params)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			fields = append(fields, field{"params." + name, shown(c.Params, name), shown(w.Params, name)})
		}
	}
	for _, f := range fields {
		if err := differ(f.name, f.is, f.wished); err != nil {
			return err
		}
	}
	return nil
}

func shown(params map[string]string, name string) string {
	if v, set := params[name]; set {
		return fmt.Sprintf("%q", v)
	}
	return "its default"
}
