package database

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	began := func(n, role string, ready bool, ago time.Duration) instance.Instance {
		at := now.Add(-ago)
		return instance.Instance{Name: n, Phase: volvox.Running, Desired: instance.Run, Role: role, Ready: ready, StartedAt: &at}
	}
	up := func(n, role string, ready bool) instance.Instance { return began(n, role, ready, time.Hour) }
	in := func(n string, p volvox.Phase, code volvox.Code, message string) instance.Instance {
		return instance.Instance{Name: n, Phase: p, Desired: instance.Run, Role: "primary", Code: code, Message: message}
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
		{"starting", []instance.Instance{in("a", volvox.Creating, "", "fetching"), up("b", "replica", true)}, fact{volvox.Updating, "", "a is starting: fetching", ""}},
		{"both start", []instance.Instance{began("a", "", false, time.Second), began("b", "", false, 59*time.Second)}, fact{volvox.Updating, "", "a is starting; b is starting", ""}},
		{"after a reboot its program is not there yet", []instance.Instance{{Name: "a", Phase: volvox.Running, Desired: instance.Run}, began("b", "", false, time.Second)},
			fact{volvox.Updating, "", "a is starting; b is starting", ""}},
		{"one starts, the other is next", []instance.Instance{began("a", "", false, time.Second), in("b", volvox.Stopped, "", "the computer is down")},
			fact{volvox.Updating, "", "a is starting; b is starting", ""}},
		{"it starts for too long", []instance.Instance{began("a", "", false, time.Minute), began("b", "", false, time.Second)}, fact{volvox.Failed, volvox.NotReady, "a is not ready; b is starting", ""}},
		{"it starts and has crashed before", []instance.Instance{{Name: "a", Phase: volvox.Running, Desired: instance.Run, Code: volvox.Crashed, Message: "exit 1"}, up("b", "replica", true)},
			fact{volvox.Failed, volvox.Crashed, "a is not ready: exit 1", ""}},
		{"the primary starts, the replica is Failed", []instance.Instance{began("a", "primary", false, time.Second), in("b", volvox.Failed, volvox.Crashed, "exit 1")},
			fact{volvox.Failed, volvox.Crashed, "a is starting; b is Failed: exit 1", "a"}},
		{"a replica starts", []instance.Instance{up("a", "primary", true), began("b", "", false, time.Second)}, fact{volvox.Running, volvox.NotReady, "b is starting", "a"}},
		{"the computer is down", []instance.Instance{in("a", volvox.Stopped, "", "the computer is down"), in("b", volvox.Stopped, "", "the computer is down")},
			fact{volvox.Stopped, "", "the computer is down", ""}},
		{"it is going down", []instance.Instance{in("a", volvox.Stopping, "", ""), up("b", "replica", true)}, fact{volvox.Stopped, "", "a is Stopping", ""}},
		{"a member is gone", []instance.Instance{up("a", "primary", true)}, fact{volvox.Running, volvox.NotReady, "1 of 2 members are not there", "a"}},
		{"all are gone", nil, fact{volvox.Failed, volvox.NotReady, "2 of 2 members are not there", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := judge(Component{Replicas: 2}, tc.members, func(role string) bool { return role == "primary" }, true, now)
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
	if got := judge(Component{Replicas: 1}, []instance.Instance{up("a", "", true)}, func(string) bool { return false }, false, now); got.Phase != volvox.Running {
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

// A start of the computer is no failure, until a program has had its time.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.service.Run(ctx) }()
	defer func() { cancel(); <-done }()
	w.create(Wish{Name: "shop", Engine: "counter"})
	say := func(change func(*instance.Report)) {
		t.Helper()
		i, err := w.instances.Get(w.ctx, "main", "shop-counter-0")
		w.must(err)
		w.must(w.twin.report(w.ctx, i, change))
	}
	is := func(phase volvox.Phase, message string) {
		t.Helper()
		w.until("shop", string(phase)+" "+message, func(c Cluster) bool { return c.Phase == phase && c.Message == message })
	}
	is(volvox.Running, "")
	say(func(r *instance.Report) {
		r.Phase, r.Ready, r.Role, r.StartedAt, r.Message = volvox.Stopped, false, "", nil, "the computer is down"
	})
	is(volvox.Stopped, "the computer is down")
	started := time.Now()
	say(func(r *instance.Report) { r.Phase, r.StartedAt = volvox.Running, &started })
	is(volvox.Updating, "shop-counter-0 is starting")
	for _, e := range w.events("cluster", "shop") {
		if e.Level != "info" {
			t.Errorf("an event: %+v", e)
		}
	}
	// Its time ends, and only time passes.
	nearly := time.Now().Add(time.Second - startPatience)
	say(func(r *instance.Report) { r.Phase, r.StartedAt = volvox.Running, &nearly })
	is(volvox.Failed, "shop-counter-0 is not ready")
	say(func(r *instance.Report) { r.Phase, r.Ready, r.Role = volvox.Running, true, "primary" })
	is(volvox.Running, "")
}
