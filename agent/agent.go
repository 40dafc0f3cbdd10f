// Package agent makes one machine match its rows: it starts, watches and
// removes the instances that the computer wishes on it, runs their actions
// and probes, and reports what it finds. It owns no tables: it is a client of
// [Control].
//
// Each instance has a goroutine of its own, its keeper, which compares what is
// wished with what is there and takes the next step towards it. It never
// replays events, so it does not matter where an earlier agent died: what that
// one had made is found again in the runtime, on the network and on the disk,
// and what nobody wishes is removed.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// Options of an agent. Machine, Control, Runtime, Network, Images, Data and
// Run must be given.
type Options struct {
	// Machine is this machine; the agent fills in what it finds out by itself
	// (architecture, capacity, kernel, …) and registers it.
	Machine machine.Machine
	Control Control
	Runtime Runtime
	Network Network
	Images  Images
	Data    string       // directory of what stays
	Run     string       // directory of what a reboot may forget
	Log     *slog.Logger // nil: nothing is logged

	LogBytes   int64         // an instance's log is rotated at this size; 0: 8 MiB
	LogKeep    int           // rotated logs that are kept; 0: 3
	ImageGrace time.Duration // unused images stay this long after an instance was removed; 0: 10 minutes
}

// Agent keeps the instances of one machine.
type Agent struct {
	o       Options
	dir     directories
	reports *reporter
	images  *imageKeeper
	ready   chan struct{}

	mu      sync.Mutex
	keepers map[volvox.ID]*keeper
	mode    mode
	moved   chan struct{} // closed and made anew when a keeper has reached something

	looking  lister
	cleaning sync.Mutex // held while old volumes are deleted

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// mode says whether the wishes count as they are.
type mode int

const (
	asWished mode = iota
	halting       // nothing may run
	clearing      // nothing may stay
)

// New makes an agent that does nothing until it is started.
func New(o Options) *Agent {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LogBytes == 0 {
		o.LogBytes = 8 << 20
	}
	if o.LogKeep == 0 {
		o.LogKeep = 3
	}
	if o.ImageGrace == 0 {
		o.ImageGrace = 10 * time.Minute
	}
	a := &Agent{
		o:       o,
		dir:     directories{data: o.Data, run: o.Run},
		ready:   make(chan struct{}),
		keepers: map[volvox.ID]*keeper{},
		moved:   make(chan struct{}),
	}
	a.looking.list = o.Runtime.List
	a.reports = newReporter(o.Control, o.Machine.Name, o.Log)
	a.images = &imageKeeper{a: a, busy: map[string]int{}, told: map[string]string{}}
	return a
}

// Start makes the directories and begins. It returns at once; [Agent.Ready]
// says when the agent has taken up its work. It may be called once.
func (a *Agent) Start(ctx context.Context) error {
	if a.cancel != nil {
		return errors.New("the agent was started before")
	}
	if err := a.dir.make(); err != nil {
		return fmt.Errorf("make the agent's directories: %w", err)
	}
	ctx, a.cancel = context.WithCancel(volvox.WithActor(context.WithoutCancel(ctx), "system:agent"))
	a.task(func() { a.reports.run(ctx) })
	a.task(func() { a.follow(ctx) })
	a.task(func() { a.watchRuntime(ctx) })
	a.task(func() { a.tend(ctx) })
	return nil
}

func (a *Agent) task(f func()) {
	a.tasks.Add(1)
	go func() {
		defer a.tasks.Done()
		f()
	}()
}

// Stop lets go of everything and leaves the instances running. It waits until
// ctx ends. Stopping twice, or before Start, is allowed.
func (a *Agent) Stop(ctx context.Context) error {
	if a.cancel == nil {
		return nil
	}
	a.cancel()
	done := make(chan struct{})
	go func() {
		a.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the agent: %w", ctx.Err())
	}
}

// Ready is closed when the agent knows its wishes and the machine, and works
// on the difference.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Halt stops all instances, whatever is wished, and returns when they have
// ended. It lasts until the agent ends: the next one follows the wishes.
func (a *Agent) Halt(ctx context.Context) error { return a.override(ctx, halting) }

// Clear removes all instances with their data, whatever is wished, and
// returns when nothing of them is left on the machine.
func (a *Agent) Clear(ctx context.Context) error { return a.override(ctx, clearing) }

func (a *Agent) override(ctx context.Context, m mode) error {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.mu.Lock()
	a.mode = max(a.mode, m)
	for _, k := range a.keepers {
		k.stepAside()
	}
	a.mu.Unlock()
	for {
		a.mu.Lock()
		moved, done := a.moved, true
		for _, k := range a.keepers {
			done = done && k.at(m)
		}
		a.mu.Unlock()
		if done {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if m == clearing {
		return errors.Join(a.clean(ctx, true), a.images.collect(ctx, true), a.dir.unmount())
	}
	return a.reports.flush(ctx)
}

func (a *Agent) modeNow() mode {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mode
}

// progress wakes those who wait for keepers.
func (a *Agent) progress() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.moved)
	a.moved = make(chan struct{})
}

// keeper returns the keeper of an instance that a person asked about.
func (a *Agent) keeper(id volvox.ID) (*keeper, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k := a.keepers[id]; k != nil {
		return k, nil
	}
	return nil, volvox.Errorf(volvox.NotFound, "there is no instance %s on this machine", id)
}

// Health is what the probe of the instance said last, and when. The time is
// zero when it said nothing since the instance, or the agent, was started.
func (a *Agent) Health(id volvox.ID) (instance.Health, time.Time, error) {
	k, err := a.keeper(id)
	if err != nil {
		return instance.Health{}, time.Time{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.health, k.healthAt, nil
}

// Metrics is what the instance's container has used since it was started;
// E_NOT_READY if it does not run.
func (a *Agent) Metrics(ctx context.Context, id volvox.ID) (Metrics, error) {
	k, err := a.keeper(id)
	if err != nil {
		return Metrics{}, err
	}
	k.mu.Lock()
	running := k.facts.StartedAt != nil
	k.mu.Unlock()
	if !running {
		return Metrics{}, volvox.Errorf(volvox.NotReady, "instance %s does not run", id)
	}
	return a.o.Runtime.Metrics(ctx, string(id))
}

// Exec runs a command in the instance's container and returns its exit code.
// An empty ID is filled in.
func (a *Agent) Exec(ctx context.Context, id volvox.ID, e Exec) (int, error) {
	if _, err := a.keeper(id); err != nil {
		return 0, err
	}
	if e.ID == "" {
		e.ID = "exec-" + string(volvox.NewID())
	}
	return a.o.Runtime.Exec(ctx, string(id), e)
}

// Logs writes what the instance printed: the last lines (all that is kept if
// lines is negative) and, if follow is set, what it prints from then on, until
// ctx ends or the instance is gone. Rotation loses and repeats nothing.
func (a *Agent) Logs(ctx context.Context, id volvox.ID, follow bool, lines int, w io.Writer) error {
	k, err := a.keeper(id)
	if err != nil {
		return err
	}
	return k.log.copy(ctx, w, lines, follow, k.gone)
}

func (a *Agent) runDir(id volvox.ID) string { return filepath.Join(a.dir.instances(), string(id)) }

func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}
