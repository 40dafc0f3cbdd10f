package database

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
)

// Run keeps the facts of clusters and components in step with those of their
// members until ctx ends. It compares, and never replays what happened: what
// it missed while it did not run, it sees when it begins.
//
// A cluster is Running while each component's member with the writable role is
// ready; other members that are not ready are named in its message. Otherwise
// it is Failed, or Stopped when its members are.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.watch(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the watch over databases broke; it begins again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return ctx.Err()
}

// watch settles all clusters and then, until ctx ends, those whose members
// change.
func (s *Service) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := s.db.Watch(ctx, store.Now(), "instances") // before the look at all, so that nothing falls between
	all, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := s.settleOne(ctx, c.Project, c.Name); err != nil {
			return err
		}
	}
	touched := map[volvox.Ref]bool{}
	for c, err := range changes {
		if err != nil {
			return err
		}
		project, _ := c.Row["project"].(string)
		cluster, _ := c.Row["cluster"].(string)
		touched[ref(project, cluster)] = true
		if !c.Last {
			continue
		}
		for r := range touched {
			if err := s.settleOne(ctx, r.Project, r.Name); err != nil {
				return err
			}
		}
		clear(touched)
	}
	return nil
}

// settleOne writes the facts of one cluster, if they are not what they were.
func (s *Service) settleOne(ctx context.Context, project, name string) error {
	return s.update(ctx, "database.settle", func(tx *store.Tx) error {
		c, there, err := findCluster(tx, project, name)
		if err != nil || !there || c.Phase == volvox.Pending || c.Phase == volvox.Deleting {
			return err
		}
		parts, err := components(tx, project, name)
		if err != nil {
			return err
		}
		return s.settle(tx, c, parts, c.Phase == volvox.Creating)
	})
}

// settle writes the facts of a cluster and its components as its members'
// facts make them. While it is being made, only the components change: its
// workflow says when the cluster is Running.
func (s *Service) settle(tx *store.Tx, c Cluster, parts []Component, making bool) error {
	a, err := s.findAddon(c.Engine)
	if err != nil {
		return nil // its addon is not there any more; nothing can be said about it
	}
	members, err := instance.List(tx, instance.Filter{Project: c.Project, Cluster: c.Name})
	if err != nil {
		return fmt.Errorf("list the members of %s: %w", c.Name, err)
	}
	var all []fact
	for _, p := range parts {
		kind := a.Components[p.Kind]
		if kind == nil {
			continue
		}
		var own []instance.Instance
		for _, i := range members {
			if i.Component == p.Name {
				own = append(own, i)
			}
		}
		f := judge(p, own, func(role string) bool { return writable(kind, role) }, hasWriter(kind))
		if making && f.Phase != volvox.Running {
			f.Phase = volvox.Creating
		}
		all = append(all, f)
		if f == (fact{p.Phase, p.Code, p.Message, p.Primary}) {
			continue
		}
		if _, err := tx.Exec(`UPDATE components SET phase = $1, code = $2, message = $3, primary_instance = $4
			WHERE project = $5 AND cluster = $6 AND name = $7`, f.Phase, f.Code, f.Message, f.Primary, p.Project, p.Cluster, p.Name); err != nil {
			return fmt.Errorf("write the facts of component %s: %w", p.Name, err)
		}
	}
	if making {
		return nil
	}
	return s.settleCluster(tx, c, worst(all))
}

func (s *Service) settleCluster(tx *store.Tx, c Cluster, f fact) error {
	if c.Phase == f.Phase && c.Code == f.Code && c.Message == f.Message {
		return nil
	}
	if c.Phase != f.Phase {
		level := "info"
		if f.Phase == volvox.Failed {
			level = "error"
		}
		text := "is " + string(f.Phase)
		if f.Message != "" {
			text += ": " + f.Message
		}
		if err := record(tx, c, level, f.Code, "%s", text); err != nil {
			return err
		}
	}
	return setPhase(tx, c, f.Phase, f.Code, f.Message)
}

// fact is what is said about a component or a cluster.
type fact struct {
	Phase   volvox.Phase
	Code    volvox.Code
	Message string
	Primary string
}

func hasWriter(c *addon.Component) bool {
	return slices.ContainsFunc(c.Roles, func(r addon.Role) bool { return r.Writable })
}

// judge is the fact of a component, from its members' facts. The member that
// takes writes decides; in a component without such a role, any that is ready.
func judge(p Component, members []instance.Instance, writes func(role string) bool, hasWriter bool) fact {
	var f fact
	var troubles []string
	ready, stopped := 0, 0
	for _, i := range members {
		if alive(i) && writes(i.Role) {
			f.Primary = i.Name
		}
		if serves(i) {
			ready++
		}
		if serves(i) && i.Phase == volvox.Running {
			continue
		}
		if i.Phase == volvox.Stopped || i.Phase == volvox.Stopping {
			stopped++
		}
		troubles = append(troubles, trouble(i))
		if f.Code == "" {
			f.Code = i.Code
		}
	}
	if missing := p.Replicas - len(members); missing > 0 {
		troubles = append(troubles, fmt.Sprintf("%d of %d members are not there", missing, p.Replicas))
	}
	f.Message = strings.Join(troubles, "; ")
	does := ready > 0
	if hasWriter {
		does = slices.ContainsFunc(members, func(i instance.Instance) bool { return i.Name == f.Primary && serves(i) })
	}
	switch {
	case does:
		f.Phase = volvox.Running
	case len(members) > 0 && stopped == len(members):
		f.Phase, f.Code = volvox.Stopped, ""
	default:
		f.Phase = volvox.Failed
	}
	if len(troubles) > 0 && f.Code == "" && f.Phase != volvox.Stopped {
		f.Code = volvox.NotReady
	}
	if f.Phase == volvox.Failed && f.Message == "" {
		f.Code, f.Message = volvox.NotReady, "no member takes writes"
	}
	return f
}

// alive says whether the facts about a member's engine are of one that runs:
// a wish that cannot be fulfilled may leave what ran before running.
func alive(i instance.Instance) bool {
	return i.Phase == volvox.Running || i.Phase == volvox.Updating || (i.Phase == volvox.Failed && i.Ready)
}

// serves says whether a member does its work.
func serves(i instance.Instance) bool { return alive(i) && i.Ready }

// trouble is what is wrong with a member, in words.
func trouble(i instance.Instance) string {
	text := fmt.Sprintf("%s is %s", i.Name, i.Phase)
	if i.Phase == volvox.Running {
		text = i.Name + " is not ready"
	}
	if i.Message != "" {
		text += ": " + i.Message
	}
	return text
}

func worst(all []fact) fact {
	var out fact
	var messages []string
	rank := map[volvox.Phase]int{"": 0, volvox.Running: 1, volvox.Stopped: 2, volvox.Failed: 3}
	for _, f := range all {
		if rank[f.Phase] > rank[out.Phase] || (f.Phase == out.Phase && out.Code == "") {
			out.Phase, out.Code = f.Phase, f.Code
		}
		if f.Message != "" {
			messages = append(messages, f.Message)
		}
	}
	out.Message = strings.Join(messages, "; ")
	return out
}
