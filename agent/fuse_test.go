package agent

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// fuse stands between an agent and everything else. At one call, chosen by
// its name and number, the agent dies: before the call has an effect, or after it but
// before the agent learns of that. From then on no call of its has any.
type fuse struct {
	name  string
	at    int
	after bool

	mu    sync.Mutex
	calls map[string]int
	blown chan struct{}
}

func (f *fuse) dead() bool {
	select {
	case <-f.blown:
		return true
	default:
		return false
	}
}

func (f *fuse) call(ctx context.Context, name string, effect func() error) error {
	f.mu.Lock()
	dead := f.dead()
	hit := false
	if !dead {
		f.calls[name]++
		if hit = name == f.name && f.calls[name] == f.at; hit {
			close(f.blown)
		}
	}
	f.mu.Unlock()
	if dead || hit && !f.after {
		<-ctx.Done()
		return ctx.Err()
	}
	err := effect()
	if hit || f.dead() { // it died meanwhile
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

type fusedRuntime struct {
	*twinRuntime
	f *fuse
}

func (r fusedRuntime) Create(ctx context.Context, c Container) error {
	return r.f.call(ctx, "Create", func() error { return r.twinRuntime.Create(ctx, c) })
}

func (r fusedRuntime) Stop(ctx context.Context, id, signal string, grace time.Duration) error {
	return r.f.call(ctx, "Stop", func() error { return r.twinRuntime.Stop(ctx, id, signal, grace) })
}

func (r fusedRuntime) Remove(ctx context.Context, id string) error {
	return r.f.call(ctx, "Remove", func() error { return r.twinRuntime.Remove(ctx, id) })
}

func (r fusedRuntime) List(ctx context.Context) (all []Status, err error) {
	err = r.f.call(ctx, "List", func() error { all, err = r.twinRuntime.List(ctx); return err })
	return all, err
}

func (r fusedRuntime) Exec(ctx context.Context, id string, e Exec) (exit int, err error) {
	if strings.HasPrefix(e.ID, "probe") { // it runs on
		return r.twinRuntime.Exec(ctx, id, e)
	}
	err = r.f.call(ctx, "Exec", func() error { exit, err = r.twinRuntime.Exec(ctx, id, e); return err })
	return exit, err
}

type fusedNetwork struct {
	*twinNetwork
	f *fuse
}

func (n fusedNetwork) Attach(ctx context.Context, id, address string) (netns string, err error) {
	err = n.f.call(ctx, "Attach", func() error { netns, err = n.twinNetwork.Attach(ctx, id, address); return err })
	return netns, err
}

func (n fusedNetwork) Detach(ctx context.Context, id string) error {
	return n.f.call(ctx, "Detach", func() error { return n.twinNetwork.Detach(ctx, id) })
}

type fusedImages struct {
	*twinImages
	f *fuse
}

func (i fusedImages) Ensure(ctx context.Context, ref string, progress func(string)) (image Image, err error) {
	err = i.f.call(ctx, "Ensure", func() error { image, err = i.twinImages.Ensure(ctx, ref, progress); return err })
	return image, err
}

type fusedControl struct {
	*twinControl
	f *fuse
}

func (c fusedControl) Register(ctx context.Context, m machine.Machine) error {
	return c.f.call(ctx, "Register", func() error { return c.twinControl.Register(ctx, m) })
}

func (c fusedControl) Wishes(ctx context.Context, m string) (out []instance.Wish, err error) {
	err = c.f.call(ctx, "Wishes", func() error { out, err = c.twinControl.Wishes(ctx, m); return err })
	return out, err
}

func (c fusedControl) Report(ctx context.Context, m string, r instance.Report) error {
	return c.f.call(ctx, "Report", func() error { return c.twinControl.Report(ctx, m, r) })
}

func (c fusedControl) Finish(ctx context.Context, m string, a instance.Action) error {
	return c.f.call(ctx, "Finish", func() error { return c.twinControl.Finish(ctx, m, a) })
}

func (c fusedControl) Secret(ctx context.Context, m string, id volvox.ID, name string) (value string, err error) {
	err = c.f.call(ctx, "Secret", func() error { value, err = c.twinControl.Secret(ctx, m, id, name); return err })
	return value, err
}

// An agent that dies at any of its calls, before or after it took effect,
// is followed by one that ends in the same state.
func TestDeathAtEveryCall(t *testing.T) {
	var calls map[string]int
	synctest.Test(t, func(t *testing.T) { calls = live(t, &fuse{}, nil, t.Errorf) })
	if len(calls) != 13 {
		t.Errorf("in a life there are these calls: %v", calls)
	}
	blown := 0
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		for at := 1; at <= calls[name]; at++ {
			for _, after := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					if got := live(t, &fuse{name: name, at: at, after: after}, nil, t.Errorf); got[name] >= at {
						blown++
					}
				})
			}
		}
	}
	if blown < 80 {
		t.Errorf("only %d agents died", blown)
	}
}

// The test above notices an agent that loses the record of a result.
func TestLostRecordIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := ""
		live(t, &fuse{name: "Finish", at: 1}, func(w *world) {
			for _, name := range left(w.data + "/actions") {
				os.Remove(w.data + "/actions/" + name)
			}
		}, func(format string, args ...any) { wrong += fmt.Sprintf(format, args...) })
		if wrong != "the job ran 2 times" {
			t.Errorf("noticed: %q", wrong)
		}
	})
}

// live leads an instance through its life, with an agent that dies where the
// fuse says, and returns the calls that this first agent made. between is run
// before the next agent starts, wrong is told what is not as it must be.
func live(t *testing.T, f *fuse, between func(w *world), wrong func(format string, args ...any)) map[string]int {
	f.calls, f.blown = map[string]int{}, make(chan struct{})
	w := newWorld(t)
	plain := w.options
	w.options.Runtime, w.options.Network = fusedRuntime{w.runtime, f}, fusedNetwork{w.network, f}
	w.options.Images, w.options.Control = fusedImages{w.images, f}, fusedControl{w.control, f}
	w.start()
	over := make(chan struct{})
	var follow sync.WaitGroup
	follow.Go(func() {
		select {
		case <-f.blown:
			w.stop()
			if between != nil {
				between(w)
			}
			w.options = plain
			w.start()
		case <-over:
		}
	})
	defer func() {
		close(over)
		follow.Wait()
		if t.Failed() {
			t.Logf("the agent died at call %d of %s (after it: %v)", f.at, f.name, f.after)
		}
		w.stop()
	}()

	id := w.wish("a", instance.Halt, spec())
	w.reaches("a", volvox.Stopped, false)
	w.act(id, "init", instance.InJob, time.Minute, "note", "init")
	if r := w.result("init"); *r.Exit != 0 || string(r.Output) != `{"noted":"init"}` {
		wrong("init: %d, %s, %s", *r.Exit, r.Output, r.Log)
	}
	w.want(id, instance.Run, nil)
	w.reaches("a", volvox.Running, true)
	w.act(id, "setup", instance.InEngine, time.Minute, "note", "setup")
	if r := w.result("setup"); *r.Exit != 0 || string(r.Output) != `{"noted":"setup"}` {
		wrong("setup: %d, %s, %s", *r.Exit, r.Output, r.Log)
	}
	w.want(id, instance.Run, func(s *instance.Spec) { s.Limits.MemoryBytes = 1 << 20 })
	w.reaches("a", volvox.Running, true)
	if m := w.runtime.memory(string(id)); m != 1<<20 {
		wrong("its container has %d bytes of memory", m)
	}
	w.want(id, instance.Halt, nil)
	w.reaches("a", volvox.Stopped, false)
	if w.running(id) {
		wrong("it runs although it is stopped")
	}
	notes := w.file(id, "notes")
	if n := strings.Count(notes, "init"); n != 1 {
		wrong("the job ran %d times", n)
	}
	if n := strings.Count(notes, "setup"); n < 1 || n > 2 {
		wrong("the action in the engine ran %d times", n)
	}
	w.want(id, instance.Remove, nil)
	w.disappears("a")
	synctest.Wait()
	w.nothingLeft()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (r *twinRuntime) memory(id string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[id]; b != nil {
		return b.Limits.MemoryBytes
	}
	return 0
}
