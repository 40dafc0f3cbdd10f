package database

import (
	"context"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

func TestJudge(t *testing.T) {
	up := func(n, role string, ready bool) instance.Instance {
		return instance.Instance{Name: n, Phase: volvox.Running, Role: role, Ready: ready}
	}
	in := func(n string, p volvox.Phase, code volvox.Code, message string) instance.Instance {
		return instance.Instance{Name: n, Phase: p, Role: "primary", Code: code, Message: message}
	}
	for _, tc := range []struct {
		name    string
		members []instance.Instance
		want    fact
	}{
		{"all well", []instance.Instance{up("a", "primary", true), up("b", "replica", true)}, fact{volvox.Running, "", "", "a"}},
		{"the other one takes writes", []instance.Instance{up("a", "replica", true), up("b", "primary", true)}, fact{volvox.Running, "", "", "b"}},
		{"a replica lags", []instance.Instance{up("a", "primary", true), up("b", "replica", false)}, fact{volvox.Running, volvox.NotReady, "b is not ready", "a"}},
		{"a replica crashed", []instance.Instance{up("a", "primary", true), in("b", volvox.Failed, volvox.Crashed, "exit 1")}, fact{volvox.Running, volvox.Crashed, "b is Failed: exit 1", "a"}},
		{"the primary crashed", []instance.Instance{in("a", volvox.Failed, volvox.Crashed, "exit 1"), up("b", "replica", true)}, fact{volvox.Failed, volvox.Crashed, "a is Failed: exit 1", ""}},
		{"the primary is not ready", []instance.Instance{up("a", "primary", false), up("b", "replica", true)}, fact{volvox.Failed, volvox.NotReady, "a is not ready", "a"}},
		{"it goes on although its wish fails", []instance.Instance{{Name: "a", Phase: volvox.Failed, Role: "primary", Ready: true, Code: volvox.BadImage, Message: "no such image"}, up("b", "replica", true)},
			fact{volvox.Running, volvox.BadImage, "a is Failed: no such image", "a"}},
		{"nobody takes writes", []instance.Instance{up("a", "replica", true), up("b", "replica", true)}, fact{volvox.Failed, volvox.NotReady, "no member takes writes", ""}},
		{"stopped", []instance.Instance{in("a", volvox.Stopped, "", ""), in("b", volvox.Stopping, "", "")}, fact{volvox.Stopped, "", "a is Stopped; b is Stopping", ""}},
		{"starting", []instance.Instance{in("a", volvox.Creating, "", "fetching"), up("b", "replica", true)}, fact{volvox.Failed, volvox.NotReady, "a is Creating: fetching", ""}},
		{"a member is gone", []instance.Instance{up("a", "primary", true)}, fact{volvox.Running, volvox.NotReady, "1 of 2 members are not there", "a"}},
		{"all are gone", nil, fact{volvox.Failed, volvox.NotReady, "2 of 2 members are not there", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := judge(Component{Replicas: 2}, tc.members, func(role string) bool { return role == "primary" }, true)
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	if got := judge(Component{Replicas: 1}, []instance.Instance{up("a", "", true)}, func(string) bool { return false }, false); got.Phase != volvox.Running {
		t.Errorf("an engine without roles: %+v", got)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.service.Run(ctx) }()
	w.create(shop)
	member := func(n string) instance.Instance {
		i, err := w.instances.Get(w.ctx, "main", n)
		w.must(err)
		return i
	}
	say := func(n string, change func(*instance.Report)) { w.must(w.twin.report(w.ctx, member(n), change)) }
	say("shop-counter-2", func(r *instance.Report) {
		r.Phase, r.Ready, r.Code, r.Message = volvox.Failed, false, volvox.Crashed, "exit code 3"
	})
	w.until("shop", "told of the replica", func(c Cluster) bool {
		return c.Phase == volvox.Running && strings.Contains(c.Message, "shop-counter-2 is Failed: exit code 3") && c.Code == volvox.Crashed
	})
	say("shop-counter-0", func(r *instance.Report) { r.Phase, r.Ready, r.Message = volvox.Failed, false, "killed" })
	w.until("shop", "Failed", func(c Cluster) bool { return c.Phase == volvox.Failed && strings.Contains(c.Message, "shop-counter-0") })
	if _, err := w.service.Connection(w.ctx, "main", "shop", false); volvox.CodeOf(err) != volvox.NotReady || !strings.Contains(err.Error(), "killed") {
		t.Errorf("connection: %v", err)
	}
	for _, n := range []string{"shop-counter-0", "shop-counter-2"} {
		say(n, func(r *instance.Report) { r.Phase, r.Ready, r.Code, r.Message = volvox.Running, true, "", "" })
	}
	w.until("shop", "Running again", func(c Cluster) bool { return c.Phase == volvox.Running && c.Message == "" && c.Code == "" })

	// What happens while nobody watches is seen when watching begins.
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Run returned %v", err)
	}
	say("shop-counter-0", func(r *instance.Report) { r.Role = "replica" })
	say("shop-counter-1", func(r *instance.Report) { r.Role = "primary" })
	ctx, cancel = context.WithCancel(w.ctx)
	go func() { done <- w.service.Run(ctx) }()
	defer func() { cancel(); <-done }()
	w.until("shop", "led by another", func(Cluster) bool {
		parts, err := w.service.Components(w.ctx, "main", "shop")
		w.must(err)
		return parts[0].Primary == "shop-counter-1"
	})
	conn, err := w.service.Connection(w.ctx, "main", "shop", false)
	w.must(err)
	if conn.Host != member("shop-counter-1").Address {
		t.Errorf("clients are sent to %s", conn.Host)
	}
	failed := false
	for _, e := range w.events("cluster", "shop") {
		failed = failed || e.Level == "error" && strings.HasPrefix(e.Message, "is Failed")
	}
	if !failed {
		t.Error("no event says that it was Failed")
	}
}
