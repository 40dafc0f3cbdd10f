package database

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
)

// twin is what an agent is to the services: it reads wishes, reports facts
// and ends actions, and has no container. Faults can be planted in it.
type twin struct {
	control *instance.Service
	machine string
	addons  []*addon.Addon

	mu     sync.Mutex
	faults map[string]fault
	ran    map[string]int // actions by "name instance", how often they were ended
	asked  map[string]instance.Action
	wake   chan struct{}
}

// fault is what goes wrong with "prepare NAME", "start NAME", "remove NAME" or
// "ACTION NAME".
type fault struct {
	code    volvox.Code
	message string
	exits   []int // of an action, one for each time it is asked for; the last one stays
	never   bool  // nothing is ever reported
	unready bool  // it runs, with the message, and does not work
}

func newTwin(control *instance.Service, machine string, addons []*addon.Addon) *twin {
	return &twin{control: control, machine: machine, addons: addons, faults: map[string]fault{}, ran: map[string]int{},
		asked: map[string]instance.Action{}, wake: make(chan struct{}, 1)}
}

func (w *twin) plant(what string, f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[what] = f
}

// mend takes all faults away and looks again.
func (w *twin) mend() {
	w.mu.Lock()
	clear(w.faults)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *twin) fault(what string) (fault, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, planted := w.faults[what]
	return f, planted
}

// actions are the actions ended, by "name instance".
func (w *twin) actions() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.ran)
}

// action is the last action asked for under "name instance".
func (w *twin) action(what string) instance.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[what]
}

// run does what is wished until ctx ends.
func (w *twin) run(ctx context.Context) {
	changed := w.control.Changed(ctx, w.machine)
	for ctx.Err() == nil {
		select {
		case <-changed:
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		wishes, err := w.control.Wishes(ctx, w.machine)
		if err != nil {
			continue
		}
		for _, wish := range wishes {
			w.fulfil(ctx, wish)
		}
	}
}

func (w *twin) fulfil(ctx context.Context, wish instance.Wish) {
	i := wish.Instance
	verb := map[instance.Desired]string{instance.Halt: "prepare", instance.Run: "start", instance.Remove: "remove"}[i.Desired]
	f, planted := w.fault(verb + " " + i.Name)
	r := instance.Report{ID: i.ID, Observed: i.Generation, Restarts: i.Restarts}
	switch {
	case planted && f.never:
		return
	case f.unready:
		r.Phase, r.Message = volvox.Running, f.message
	case planted:
		r.Phase, r.Code, r.Message = volvox.Failed, f.code, f.message
	case i.Desired == instance.Remove:
		r.Gone = true
	case i.Desired == instance.Halt:
		r.Phase = volvox.Stopped
	default:
		r.Phase, r.Ready, r.Role = volvox.Running, true, w.role(i)
		started := i.CreatedAt
		r.StartedAt = &started
	}
	_ = w.control.Report(ctx, w.machine, r)
	if i.Desired != instance.Remove {
		for _, a := range wish.Actions {
			w.end(ctx, a)
		}
	}
}

func (w *twin) end(ctx context.Context, a instance.Action) {
	what := a.Name + " " + a.Instance
	if joined := a.Env["DB_MEMBER_NAME"]; joined != "" {
		what = a.Name + " " + joined
	}
	f, planted := w.fault(what)
	if f.never {
		return
	}
	exit := 0
	w.mu.Lock()
	if planted && len(f.exits) > 0 {
		exit = f.exits[min(w.ran[what], len(f.exits)-1)]
	}
	w.ran[what]++
	w.asked[what] = a
	w.mu.Unlock()
	a.Exit, a.Log = &exit, "first line\n"+what+" says "+strconv.Itoa(exit)+"\n"
	_ = w.control.Finish(ctx, w.machine, a)
}

// role is what the engine would say: the member with ordinal 0 takes writes.
func (w *twin) role(i instance.Instance) string {
	for _, a := range w.addons {
		for _, kind := range a.Components {
			n := slices.IndexFunc(kind.Roles, func(r addon.Role) bool { return r.Writable == (i.Ordinal == 0) })
			if n >= 0 {
				return kind.Roles[n].Name
			}
		}
	}
	return ""
}

// report makes the facts of a member what a test wants, for its present wish.
func (w *twin) report(ctx context.Context, i instance.Instance, change func(*instance.Report)) error {
	r := instance.Report{ID: i.ID, Observed: i.Generation, Phase: i.Phase, Role: i.Role, Ready: i.Ready, Restarts: i.Restarts, StartedAt: i.StartedAt}
	change(&r)
	return w.control.Report(ctx, w.machine, r)
}

// deadline bounds every wait of a test, generously.
const deadline = 3 * time.Minute
