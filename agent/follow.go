package agent

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// resync is how often everything is compared although nothing was heard.
const resync = time.Minute

// follow registers the machine and passes wishes on to the keepers, as often
// as they change.
func (a *Agent) follow(ctx context.Context) {
	wait := backoff{first: 200 * time.Millisecond, most: 10 * time.Second}
	for {
		m, err := a.describe()
		if err == nil {
			err = a.o.Control.Register(ctx, m)
		}
		if err == nil {
			break
		}
		a.o.Log.Warn("cannot register this machine, trying again", "error", err)
		if !sleep(ctx, wait.next()) {
			return
		}
	}
	wait.reset()
	changed := a.o.Control.Changed(ctx, a.o.Machine.Name)
	tick := time.NewTicker(resync)
	defer tick.Stop()
	ready := false
	for {
		wishes, err := a.o.Control.Wishes(ctx, a.o.Machine.Name)
		if err == nil {
			a.dispatch(ctx, wishes)
			if !ready {
				err = a.sweep(ctx, wishes)
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.o.Log.Warn("cannot read what is wished, trying again", "error", err)
			if !sleep(ctx, wait.next()) {
				return
			}
			continue
		}
		wait.reset()
		if !ready {
			ready = true
			close(a.ready)
		}
		select {
		case _, open := <-changed:
			if !open {
				return
			}
		case <-tick.C:
			a.wakeAll(false)
		case <-ctx.Done():
			return
		}
	}
}

// dispatch tells the keepers what is wished, makes new ones for new
// instances, and lets those remove what is no longer wished for.
func (a *Agent) dispatch(ctx context.Context, wishes []instance.Wish) {
	a.mu.Lock()
	defer a.mu.Unlock()
	listed := make(map[volvox.ID]bool, len(wishes))
	for _, w := range wishes {
		id := w.Instance.ID
		listed[id] = true
		if k := a.keepers[id]; k != nil {
			k.set(w)
			continue
		}
		a.keep(ctx, w, true)
	}
	for id, k := range a.keepers {
		if !listed[id] {
			k.unlist()
		}
	}
}

// keep starts a keeper. a.mu is held.
func (a *Agent) keep(ctx context.Context, w instance.Wish, listed bool) {
	k := newKeeper(a, w, listed)
	a.keepers[k.id] = k
	a.task(func() {
		k.run(ctx)
		a.mu.Lock()
		if k.over() {
			delete(a.keepers, k.id)
		}
		a.mu.Unlock()
		a.progress()
	})
}

// sweep finds what an earlier life left and nobody wishes: such instances get
// a keeper whose wish is to remove them. Their volumes are kept for a while. It is called with wishes that were
// read, never with guesses.
func (a *Agent) sweep(ctx context.Context, wishes []instance.Wish) error {
	ids, err := a.dir.found()
	if err != nil {
		return err
	}
	containers, err := a.looking.look(ctx)
	if err != nil {
		return err
	}
	for id := range containers {
		ids = append(ids, volvox.ID(strings.TrimSuffix(id, jobSuffix)))
	}
	attached, err := a.o.Network.List(ctx)
	if err != nil {
		return err
	}
	for _, id := range attached {
		ids = append(ids, volvox.ID(id))
	}
	a.mu.Lock()
	for _, id := range ids {
		if a.keepers[id] == nil {
			a.o.Log.Info("removing what nobody wishes", "instance", id)
			a.keep(ctx, instance.Wish{Instance: instance.Instance{ID: id, Desired: instance.Remove}}, false)
		}
	}
	a.mu.Unlock()
	return a.dir.sweepRecords(wishes)
}

// watchRuntime wakes the keeper of each container of which something is heard.
func (a *Agent) watchRuntime(ctx context.Context) {
	for e := range a.o.Runtime.Events(ctx) {
		if ctx.Err() != nil {
			return
		}
		if e.Kind == "gap" {
			a.wakeAll(true)
			continue
		}
		a.mu.Lock()
		if k := a.keepers[volvox.ID(strings.TrimSuffix(e.ID, jobSuffix))]; k != nil {
			k.nudge()
		}
		a.mu.Unlock()
	}
}

// wakeAll makes all keepers compare, those that wait out a fault that does
// not pass only if they are asked, too.
func (a *Agent) wakeAll(hopeless bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.keepers {
		if hopeless || !k.isLost() {
			k.nudge()
		}
	}
}

// tend does the housekeeping that no keeper does.
func (a *Agent) tend(ctx context.Context) {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return
	}
	defer a.images.stop()
	logs, orphans := time.NewTicker(5*time.Second), time.NewTicker(time.Hour)
	defer logs.Stop()
	defer orphans.Stop()
	collect := make(chan struct{}, 1)
	a.mu.Lock()
	removed := a.moved
	a.mu.Unlock()
	a.clean(ctx, false)
	if err := a.images.collect(ctx, false); err != nil {
		a.o.Log.Warn("cannot remove unused images", "error", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-logs.C:
			a.rotate()
		case <-orphans.C:
			a.clean(ctx, false)
		case <-collect:
			if err := a.images.collect(ctx, false); err != nil {
				a.o.Log.Warn("cannot remove unused images", "error", err)
			}
		case <-removed:
			a.mu.Lock()
			removed = a.moved
			a.mu.Unlock()
			a.clean(ctx, false)
			a.images.collectLater(collect)
		}
	}
}

// clean deletes old volumes, with all orphans or with those whose time has
// come.
func (a *Agent) clean(ctx context.Context, orphans bool) error {
	a.cleaning.Lock()
	defer a.cleaning.Unlock()
	err := a.dir.emptyTrash(ctx, orphans)
	if err != nil && ctx.Err() == nil {
		a.o.Log.Warn("cannot delete old volumes", "error", err)
	}
	return err
}

func (a *Agent) rotate() {
	a.mu.Lock()
	keep := make(map[*logFile]int, 2*len(a.keepers))
	for _, k := range a.keepers {
		keep[k.log], keep[k.jobLog] = a.o.LogKeep, 1
	}
	a.mu.Unlock()
	for l, n := range keep {
		if err := l.rotate(a.o.LogBytes, n); err != nil {
			a.o.Log.Warn("cannot rotate a log", "log", l.path, "error", err)
		}
	}
}

// lister looks at the runtime for all keepers: those who ask at the same time
// share one answer.
type lister struct {
	list func(context.Context) ([]Status, error)

	begun atomic.Int64 // lookings begun

	mu     sync.Mutex
	found  map[string]Status
	number int64 // of the looking that found
}

// look returns the containers as they are at a moment after the call.
func (l *lister) look(ctx context.Context) (map[string]Status, error) {
	before := l.begun.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found != nil && l.number > before {
		return l.found, nil
	}
	number := l.begun.Add(1)
	all, err := l.list(ctx)
	if err != nil {
		return nil, runtimeError("look at the containers", err)
	}
	l.number, l.found = number, make(map[string]Status, len(all))
	for _, s := range all {
		l.found[s.ID] = s
	}
	return l.found, nil
}
