package runtimetest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

func (b *bench) lifecycle(t *testing.T) {
	t.Run("Create", b.createTwice)
	t.Run("Exit", b.exit)
	t.Run("Anew", b.anew)
	t.Run("Remove", b.remove)
	t.Run("Together", b.together)
	t.Run("Refused", b.refused)
}

func (b *bench) createTwice(t *testing.T) {
	before := time.Now().Add(-time.Second)
	c := b.shell(t, "create1", forever)
	c.Labels["with space"] = "and / other = things"
	b.create(t, c)
	first := b.must(t, c.ID, agent.Up)
	if !alive(first.PID) || first.StartedAt.Before(before) || first.StartedAt.After(time.Now()) || !first.EndedAt.IsZero() && first.EndedAt.Unix() != 0 {
		t.Errorf("status %+v", first)
	}
	if !maps.Equal(first.Labels, c.Labels) {
		t.Errorf("labels %v, want %v", first.Labels, c.Labels)
	}
	b.create(t, c)
	if again := b.must(t, c.ID, agent.Up); again.PID != first.PID {
		t.Errorf("creating again changed process %d to %d", first.PID, again.PID)
	}
}

func (b *bench) exit(t *testing.T) {
	c := b.shell(t, "exit1", "exit 7")
	b.create(t, c)
	if s := b.ended(t, c.ID); s.ExitCode != 7 || s.OOMKilled || s.EndedAt.Before(s.StartedAt.Add(-time.Second)) || s.EndedAt.After(time.Now()) {
		t.Errorf("status %+v", s)
	}
	c = b.shell(t, "exit2", forever)
	b.create(t, c)
	end(t, b.must(t, c.ID, agent.Up).PID)
	if s := b.ended(t, c.ID); s.ExitCode != 128+int(unix.SIGKILL) || s.OOMKilled {
		t.Errorf("killed: %+v", s)
	}
}

// anew: Create over a container that has ended makes another.
func (b *bench) anew(t *testing.T) {
	c := b.shell(t, "anew1", "exit 3")
	b.create(t, c)
	b.ended(t, c.ID)
	c.Command[2] = "exit 4"
	c.Labels = map[string]string{"second": "yes"}
	b.create(t, c)
	if s := b.ended(t, c.ID); s.ExitCode != 4 || !maps.Equal(s.Labels, c.Labels) {
		t.Errorf("status %+v", s)
	}
}

func (b *bench) remove(t *testing.T) {
	c := b.shell(t, "remove1", forever)
	for _, wait := range []bool{false, true} {
		b.create(t, c)
		pid := b.must(t, c.ID, agent.Up).PID
		if wait {
			end(t, pid)
			b.ended(t, c.ID)
		}
		for range 2 {
			if err := b.r.Remove(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
		if s, listed := b.find(t, c.ID); listed || alive(pid) {
			t.Errorf("removed, and still there: %+v", s)
		}
	}
	if err := b.r.Remove(t.Context(), "never-there"); err != nil {
		t.Error(err)
	}
}

// together: whatever comes at the same time, there is one container or none.
func (b *bench) together(t *testing.T) {
	c := b.shell(t, "together1", `echo begun >>/data/begun; `+forever)
	dir := data(t, &c)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if err := b.r.Create(t.Context(), c); err != nil {
				t.Errorf("create: %v", err)
			}
		})
	}
	all.Wait()
	pid := b.must(t, c.ID, agent.Up).PID
	if got := untilFile(t, filepath.Join(dir, "begun")); got != "begun" {
		t.Errorf("created together, began %q", got)
	}
	for range 3 {
		all.Go(func() {
			if err := b.r.Stop(t.Context(), c.ID, "", 20*time.Second); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		all.Go(func() {
			if err := b.r.Remove(t.Context(), c.ID); err != nil {
				t.Errorf("remove: %v", err)
			}
		})
	}
	all.Wait()
	if s, listed := b.find(t, c.ID); listed || alive(pid) {
		t.Errorf("removed together, and still there: %+v", s)
	}
}

// refused: a container that cannot be made leaves nothing.
func (b *bench) refused(t *testing.T) {
	bad := map[string]func(c *agent.Container){
		"no program":   func(c *agent.Container) { c.Command = []string{"/bin/no-such-program"} },
		"no command":   func(c *agent.Container) { c.Command = nil },
		"no root":      func(c *agent.Container) { c.Rootfs = filepath.Join(b.dir, "no-such-root") },
		"no source":    func(c *agent.Container) { c.Binds = []agent.Bind{{Source: "/no/such/source", Target: "/data"}} },
		"no target":    func(c *agent.Container) { c.Binds = []agent.Bind{{Source: t.TempDir(), Target: "/no-such-target"}} },
		"no namespace": func(c *agent.Container) { c.NetNS = "/no/such/namespace" },
	}
	for name, spoil := range bad {
		c := b.shell(t, "refused1", forever)
		spoil(&c)
		var known *volvox.Error
		if err := b.r.Create(t.Context(), c); !errors.As(err, &known) {
			t.Errorf("%s: %v", name, err)
		}
		if s, listed := b.find(t, c.ID); listed {
			t.Errorf("%s: left %+v", name, s)
		}
	}
	if _, err := os.Stat(filepath.Join(b.rootfs, "no-such-target")); err == nil {
		t.Error("a mount target was made in the shared root")
	}
	wantCode(t, "a bad ID", b.r.Create(t.Context(), b.shell(t, "../x", forever)), volvox.BadInput)
}

func (b *bench) stop(t *testing.T) {
	t.Run("Signal", b.stopBySignal)
	t.Run("Grace", b.stopByForce)
}

func (b *bench) stopBySignal(t *testing.T) {
	c := b.shell(t, "stop1", `trap 'exit 11' TERM; trap 'exit 12' INT; touch /data/ready; while :; do sleep 60 & wait $!; done`)
	for signal, code := range map[string]int{"": 11, "SIGTERM": 11, "SIGINT": 12} {
		dir := data(t, &c)
		b.create(t, c)
		until(t, "the traps are set", func() bool { _, err := os.Stat(filepath.Join(dir, "ready")); return err == nil })
		for range 2 {
			if err := b.r.Stop(t.Context(), c.ID, signal, 30*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if s := b.must(t, c.ID, agent.Ended); s.ExitCode != code {
			t.Errorf("stopped by %q: %+v, want exit %d", signal, s, code)
		}
		c.Binds = nil
	}
	wantCode(t, "no such signal", b.r.Stop(t.Context(), c.ID, "SIGNOTHING", time.Second), volvox.BadInput)
	if err := b.r.Stop(t.Context(), "never-there", "", time.Second); err != nil {
		t.Error(err)
	}
}

func (b *bench) stopByForce(t *testing.T) {
	c := b.shell(t, "stop2", `trap '' TERM; sh -c 'trap "" TERM; echo $$ >/data/child; sleep 1000' & while :; do sleep 60 & wait $!; done`)
	dir := data(t, &c)
	b.create(t, c)
	untilFile(t, filepath.Join(dir, "child"))
	pid := b.must(t, c.ID, agent.Up).PID
	m, err := b.r.Metrics(t.Context(), c.ID)
	if err != nil || m.Pids < 2 {
		t.Errorf("metrics %+v, %v", m, err)
	}
	if err := b.r.Stop(t.Context(), c.ID, "", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if s := b.must(t, c.ID, agent.Ended); s.ExitCode != 128+int(unix.SIGKILL) || s.OOMKilled || alive(pid) {
		t.Errorf("status %+v", s)
	}
	if m, err := b.r.Metrics(t.Context(), c.ID); err == nil && m.Pids != 0 {
		t.Errorf("%d processes left", m.Pids)
	}
}
