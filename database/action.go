package database

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
)

// tries is how often an action that ended as transient is asked for.
const tries = 3

// outcome is what the workflow records of an action.
type outcome struct {
	Exit int `json:"exit"`
}

// act runs an action of the addon in a member and waits for its result. Its
// ID is the workflow's and the step's, so that the step done twice runs it
// once. An action that ended as transient is asked for again, under the next
// ID; any other failure ends the creation.
func (m maker) act(ctx context.Context, st step) (outcome, error) {
	limited, cancel := context.WithDeadline(ctx, m.until)
	defer cancel()
	var a instance.Action
	for try := 1; try <= tries; try++ {
		id := "create-" + string(m.ID) + "/" + st.Name
		if try > 1 {
			id += "/" + strconv.Itoa(try)
		}
		err := m.db.Update(limited, func(tx *store.Tx) (err error) {
			if a, err = m.action(tx, st); err == nil {
				a.ID = id
				a, err = instance.StartAction(tx, a)
			}
			return err
		})
		if err == nil {
			a, err = m.instances.WaitAction(limited, id)
		}
		switch {
		case err != nil && limited.Err() != nil && ctx.Err() == nil:
			return outcome{}, volvox.Errorf(volvox.Timeout, "%s was not done within %s", st.Name, m.createLimit).
				About(ref(m.Project, m.Name)).WithTry("try again; volvox doctor checks the machine")
		case volvox.IsKind(err, volvox.KindNotFound): // the member is gone, and its actions with it
			return outcome{}, m.deleted()
		case err != nil:
			return outcome{}, err
		case *a.Exit == instance.ExitTransient:
			continue
		}
		break
	}
	if err := a.Err(); err != nil {
		e := volvox.AsError(err).About(ref(m.Project, m.Name))
		e.What = fmt.Sprintf("%s: %s", st.Name, e.What)
		return outcome{*a.Exit}, e
	}
	return outcome{*a.Exit}, nil
}

// action is the action of a step: how it is called and what it is told.
func (m maker) action(tx *store.Tx, st step) (instance.Action, error) {
	c, b, err := m.wished(tx)
	if err != nil {
		return instance.Action{}, err
	}
	all, err := instance.List(tx, instance.Filter{Project: m.Project, Cluster: m.Name})
	if err != nil {
		return instance.Action{}, fmt.Errorf("list the members of %s: %w", m.Name, err)
	}
	logins, err := accounts(tx, m.Project, m.Name)
	if err != nil {
		return instance.Action{}, err
	}
	p, found := b.part(st.Part)
	does, can := p.kind.Actions[st.Action]
	if !found || !can {
		return instance.Action{}, volvox.Errorf(volvox.Unsupported, "the addon of %s cannot %s any more", c.Engine, st.Name)
	}
	view := topologyOf(b, c, all, logins)
	env, err := view.env(p, st)
	if err != nil {
		return instance.Action{}, err
	}
	told, err := json.Marshal(view)
	if err != nil {
		return instance.Action{}, fmt.Errorf("write the context of an action: %w", err)
	}
	return instance.Action{Project: m.Project, Instance: env["DB_MEMBER"], Name: st.Action, Place: does.In,
		Command: does.Command(), Env: env, Context: told, TimeoutMS: does.Timeout.Milliseconds()}, nil
}

func (b blueprint) part(name string) (part, bool) {
	for _, p := range b.parts {
		if p.name == name {
			return p, true
		}
	}
	return part{kind: &addon.Component{}}, false
}

// topology is what an action finds in the file that $DB_CTX names.
type topology struct {
	Cluster  string         `json:"cluster"`
	ID       volvox.ID      `json:"id"`
	Project  string         `json:"project"`
	Engine   string         `json:"engine"`
	Version  string         `json:"version"`
	Topology string         `json:"topology"`
	Members  []member       `json:"members"`
	Accounts []loginAccount `json:"accounts"` // passwords are the files /secrets/NAME
}

type member struct {
	Name      string            `json:"name"`
	Component string            `json:"component"`
	Ordinal   int               `json:"ordinal"`
	Host      string            `json:"host"`
	Port      int               `json:"port"`
	Role      string            `json:"role"` // as the engine said last; empty when unknown
	Ready     bool              `json:"ready"`
	Resources map[string]int64  `json:"resources"`
	Params    map[string]string `json:"params"`
	writable  bool
}

type loginAccount struct {
	Name      string `json:"name"`
	User      string `json:"user"`
	Component string `json:"component"`
	Admin     bool   `json:"admin"`
}

func topologyOf(b blueprint, c Cluster, all []instance.Instance, logins []Account) topology {
	t := topology{Cluster: c.Name, ID: c.ID, Project: c.Project, Engine: c.Engine, Version: c.Version, Topology: c.Topology}
	for _, i := range all {
		p, _ := b.part(i.Component)
		t.Members = append(t.Members, member{Name: i.Name, Component: i.Component, Ordinal: i.Ordinal, Host: i.Address,
			Port: firstPort(p.kind), Role: i.Role, Ready: i.Ready, writable: writable(p.kind, i.Role), Params: p.params,
			Resources: map[string]int64{"cpu_millis": p.needs.CPUMillis, "memory_bytes": p.needs.MemoryBytes, "storage_bytes": p.needs.StorageBytes}})
	}
	for _, a := range logins {
		t.Accounts = append(t.Accounts, loginAccount{a.Name, a.User, a.Component, a.Admin})
	}
	return t
}

// env is the DB_ variables of an action: about the cluster, about the member
// that runs it, about the component's primary, and, for an action on behalf of
// another member, about that one.
func (t topology) env(p part, st step) (map[string]string, error) {
	self, primary := -1, -1
	for n, m := range t.Members {
		if m.Component != st.Part {
			continue
		}
		if m.Ordinal == st.Ordinal {
			self = n
		}
		if primary < 0 && m.Ordinal == 0 || m.writable {
			primary = n
		}
	}
	if self < 0 || primary < 0 {
		return nil, volvox.Errorf(volvox.Cancelled, "%s was given up", st.Name).Because("the member is gone")
	}
	me, first := t.Members[self], t.Members[primary]
	env := map[string]string{
		"DB_CLUSTER": t.Cluster, "DB_COMPONENT": st.Part, "DB_VERSION": t.Version, "DB_REPLICAS": strconv.Itoa(p.replicas),
		"DB_MEMBER": me.Name, "DB_ORDINAL": strconv.Itoa(me.Ordinal), "DB_HOST": me.Host, "DB_PORT": strconv.Itoa(me.Port),
		"DB_PRIMARY_NAME": first.Name, "DB_PRIMARY_HOST": first.Host, "DB_PRIMARY_PORT": strconv.Itoa(first.Port),
	}
	if st.Joining == 0 {
		return env, nil
	}
	for _, m := range t.Members {
		if m.Component == st.Part && m.Ordinal == st.Joining {
			env["DB_MEMBER_NAME"], env["DB_MEMBER_HOST"] = m.Name, m.Host
			return env, nil
		}
	}
	return nil, volvox.Errorf(volvox.Cancelled, "%s was given up", st.Name).Because("the member that should join is gone")
}

func firstPort(c *addon.Component) int {
	if len(c.Ports) == 0 {
		return 0
	}
	return c.Ports[0].Port
}

func writable(c *addon.Component, role string) bool {
	for _, r := range c.Roles {
		if r.Name == role {
			return r.Writable
		}
	}
	return false
}
