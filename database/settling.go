package database

import (
	"cmp"
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

// startPatience is how long a program that began may be without readiness
// before that is a failure.
const startPatience = time.Minute

// Run keeps the facts of clusters and components in step with those of their
// members until ctx ends. It compares, and never replays what happened: what
// it missed while it did not run, it sees when it begins.
//
// A cluster is Running while each component's member with the writable role is
// ready; other members that are not ready are named in its message. Otherwise
// it is Updating while its members start, Stopped when they are, and Failed
// when one is or does not become ready in time.
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

// news is what a watch yields.
type news struct {
	change store.Change
	err    error
}

// watch settles all clusters and then, until ctx ends, those whose members
// change, or have had their time to start.
func (s *Service) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changes := s.db.Watch(ctx, store.Now(), "instances") // before the look at all, so that nothing falls between
	feed, ended := make(chan news), make(chan struct{})
	go func() {
		defer close(ended)
		for c, err := range changes {
			select {
			case feed <- news{c, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	all, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	touched, due := map[volvox.Ref]bool{}, map[volvox.Ref]time.Time{}
	for _, c := range all {
		touched[c.Ref()] = true
	}
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for whole := true; ; {
		if whole {
			if err := s.settleAll(ctx, touched, due); err != nil {
				return err
			}
			clear(touched)
			alarm.Reset(untilFirst(due, time.Now()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return ctx.Err()
		case n := <-feed:
			if n.err != nil {
				return n.err
			}
			project, _ := n.change.Row["project"].(string)
			cluster, _ := n.change.Row["cluster"].(string)
			touched[ref(project, cluster)] = true
			whole = n.change.Last
		case <-alarm.C:
			for r, at := range due {
				touched[r] = touched[r] || !time.Now().Before(at)
			}
		}
	}
}

// settleAll settles clusters, and notes when each is to be looked at again
// though nothing changes.
func (s *Service) settleAll(ctx context.Context, which map[volvox.Ref]bool, due map[volvox.Ref]time.Time) error {
	for r, look := range which {
		if !look {
			continue
		}
		again, err := s.settleOne(ctx, r.Project, r.Name)
		if err != nil {
			return err
		}
		if delete(due, r); !again.IsZero() {
			due[r] = again
		}
	}
	return nil
}

func untilFirst(due map[volvox.Ref]time.Time, now time.Time) time.Duration {
	least := time.Hour
	for _, at := range due {
		least = min(least, at.Sub(now))
	}
	return max(least, 0)
}

// settleOne writes the facts of one cluster, if they are not what they were.
// They may be others at the moment that it returns, if that is not zero.
func (s *Service) settleOne(ctx context.Context, project, name string) (again time.Time, err error) {
	err = s.update(ctx, "database.settle", func(tx *store.Tx) error {
		again = time.Time{}
		c, there, err := findCluster(tx, project, name)
		if err != nil || !there || c.Phase == volvox.Pending || c.Phase == volvox.Deleting {
			return err
		}
		parts, err := components(tx, project, name)
		if err != nil {
			return err
		}
		again, err = s.settle(tx, c, parts, c.Phase == volvox.Creating)
		return err
	})
	return again, err
}

// settle writes the facts of a cluster and its components as its members'
// facts make them. While it is being made, only the components change: its
// workflow says when the cluster is Running. It returns when time alone may
// change the facts; zero is never.
func (s *Service) settle(tx *store.Tx, c Cluster, parts []Component, making bool) (again time.Time, err error) {
	a, err := s.findAddon(c.Engine)
	if err != nil {
		return again, nil // its addon is not there any more; nothing can be said about it
	}
	members, err := instance.List(tx, instance.Filter{Project: c.Project, Cluster: c.Name})
	if err != nil {
		return again, fmt.Errorf("list the members of %s: %w", c.Name, err)
	}
	now := time.Now()
	again = startOver(members, now)
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
		f := judge(p, own, func(role string) bool { return writable(kind, role) }, hasWriter(kind), now)
		if making && f.Phase != volvox.Running {
			f.Phase = volvox.Creating
		}
		all = append(all, f)
		if f == (fact{p.Phase, p.Code, p.Message, p.Primary}) {
			continue
		}
		if _, err := tx.Exec(`UPDATE components SET phase = $1, code = $2, message = $3, primary_instance = $4
			WHERE project = $5 AND cluster = $6 AND name = $7`, f.Phase, f.Code, f.Message, f.Primary, p.Project, p.Cluster, p.Name); err != nil {
			return again, fmt.Errorf("write the facts of component %s: %w", p.Name, err)
		}
	}
	if making {
		return again, nil
	}
	return again, s.settleCluster(tx, c, worst(all))
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

// judge is the fact of a component, from its members' facts and the time. The
// member that takes writes decides; in a component without such a role, any
// that is ready.
func judge(p Component, members []instance.Instance, writes func(role string) bool, hasWriter bool, now time.Time) fact {
	var f fact
	ready, stopped, begin, broken := 0, 0, 0, p.Replicas > len(members)
	for _, i := range members {
		if alive(i) && writes(i.Role) {
			f.Primary = i.Name
		}
		switch {
		case serves(i):
			ready++
		case starting(i, now):
			begin++
		case i.Phase == volvox.Stopped || i.Phase == volvox.Stopping:
			stopped++
		default:
			broken = true
		}
		if f.Code == "" && !(serves(i) && i.Phase == volvox.Running) {
			f.Code = i.Code
		}
	}
	f.Message = troubles(p, members, begin > 0, now)
	does := ready > 0
	if hasWriter {
		does = slices.ContainsFunc(members, func(i instance.Instance) bool { return i.Name == f.Primary && serves(i) })
	}
	switch {
	case does:
		f.Phase = volvox.Running
		if f.Message != "" && f.Code == "" {
			f.Code = volvox.NotReady
		}
	case !broken && begin > 0:
		f.Phase, f.Code = volvox.Updating, ""
	case !broken && stopped > 0:
		f.Phase, f.Code = volvox.Stopped, ""
	default:
		f.Phase = volvox.Failed
		f.Message = cmp.Or(f.Message, "no member takes writes")
		f.Code = cmp.Or(f.Code, volvox.NotReady)
	}
	return f
}

// starting says whether a member is on its way to do its work: it is being
// made, or its program began not long ago and nothing went wrong with it.
func starting(i instance.Instance, now time.Time) bool {
	if i.Code != "" || i.Ready || i.Desired == instance.Remove {
		return false
	}
	switch i.Phase {
	case volvox.Pending, volvox.Creating, volvox.Updating:
		return true
	case volvox.Running: // without a program: its agent is about to start it
		return i.StartedAt == nil || now.Sub(*i.StartedAt) < startPatience
	}
	return false
}

// startOver is when the first of the members that start has had its time;
// zero if none starts, or what starts is its agent's to bound.
func startOver(members []instance.Instance, now time.Time) (at time.Time) {
	for _, i := range members {
		if !starting(i, now) || i.Phase != volvox.Running || i.StartedAt == nil {
			continue
		}
		if end := i.StartedAt.Add(startPatience); at.IsZero() || end.Before(at) {
			at = end
		}
	}
	return at
}

// alive says whether the facts about a member's engine are of one that runs:
// a wish that cannot be fulfilled may leave what ran before running.
func alive(i instance.Instance) bool {
	return i.Phase == volvox.Running || i.Phase == volvox.Updating || (i.Phase == volvox.Failed && i.Ready)
}

// serves says whether a member does its work.
func serves(i instance.Instance) bool { return alive(i) && i.Ready }

// troubles are what is wrong with members, in words. What is the same for all
// is said once.
func troubles(p Component, members []instance.Instance, begins bool, now time.Time) string {
	var words []string
	same := len(members) == p.Replicas
	for _, i := range members {
		same = same && i.Phase == volvox.Stopped && i.Message != "" && i.Message == members[0].Message
		if serves(i) && i.Phase == volvox.Running {
			continue
		}
		words = append(words, trouble(i, begins, now))
	}
	if same && len(members) > 0 && !begins {
		return members[0].Message
	}
	if missing := p.Replicas - len(members); missing > 0 {
		words = append(words, fmt.Sprintf("%d of %d members are not there", missing, p.Replicas))
	}
	return strings.Join(words, "; ")
}

// trouble is what is wrong with a member, in words. Where others begin to
// run, one that is stopped and is to run is next.
func trouble(i instance.Instance, begins bool, now time.Time) string {
	text := fmt.Sprintf("%s is %s", i.Name, i.Phase)
	switch {
	case begins && i.Phase == volvox.Stopped && i.Desired == instance.Run:
		return i.Name + " is starting"
	case starting(i, now):
		text = i.Name + " is starting"
	case i.Phase == volvox.Running:
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
	rank := map[volvox.Phase]int{"": 0, volvox.Running: 1, volvox.Stopped: 2, volvox.Updating: 3, volvox.Failed: 4}
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
