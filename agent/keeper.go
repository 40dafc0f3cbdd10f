package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

const (
	// patience is how long something is tried before the instance is Failed;
	// it goes on being tried.
	patience = time.Minute
	// hopeless is how long to wait before a fault that does not pass by
	// itself is tried again.
	hopeless = 5 * time.Minute
	// steady is how long a program must run for its past ends to be forgotten.
	steady = time.Minute
	// crashes in a row, without being ready in between, make a Failed instance.
	crashes = 6
	// grace is given to programs that name none.
	grace = 10 * time.Second
)

// keeper keeps one instance.
type keeper struct {
	a       *Agent
	id      volvox.ID
	log     *logFile
	jobLog  *logFile // what the job that runs prints
	wake    chan struct{}
	jobWake chan struct{} // for the action that waits for its job
	gone    chan struct{} // closed when nothing is left of the instance

	mu        sync.Mutex
	wish      instance.Wish
	listed    bool   // the control knows the instance
	unwanted  bool   // the control has said that it is to be removed
	interrupt func() // ends the step that is being taken and wakes the keeper
	facts     instance.Report
	told      bool // facts were reported
	reached   mode // what of Halt and Clear is done
	health    instance.Health
	healthAt  time.Time
	probe     *probe
	action    *running
	finished  map[string]bool     // actions whose result was taken over
	attempts  map[string]*attempt // at actions that were begun
	lost      bool                // the last step failed for a reason that does not pass by itself
	crashed   int                 // ends in a row without being ready in between

	// of the keeper's goroutine alone
	base     context.Context // of what runs in the background; ends with the agent
	seen     string          // the start of the program, by its label, that was reported
	trying   int64           // generation of the wish that is worked on
	prepared string          // digest of the spec for which all is prepared
	rootfs   string
	image    string // digest of the one that rootfs is of
	netns    string
	failing  time.Time // since when something does not succeed; zero: all is well
	failures backoff
	restart  backoff
	counted  time.Time // the end of the program that was counted last
	startAt  time.Time // not before then
}

func newKeeper(a *Agent, w instance.Wish, listed bool) *keeper {
	i := w.Instance
	return &keeper{
		a: a, id: i.ID, wish: w, listed: listed, unwanted: listed && i.Desired == instance.Remove,
		log:       newLogFile(filepath.Join(a.dir.logs(), string(i.ID)+".log")),
		jobLog:    newLogFile(filepath.Join(a.dir.logs(), string(i.ID)+jobSuffix+".log")),
		wake:      make(chan struct{}, 1),
		gone:      make(chan struct{}),
		interrupt: func() {},
		finished:  map[string]bool{},
		attempts:  map[string]*attempt{},
		jobWake:   make(chan struct{}, 1),
		failures:  backoff{first: 200 * time.Millisecond, most: 30 * time.Second},
		restart:   backoff{first: 200 * time.Millisecond, most: 30 * time.Second},
		facts: instance.Report{ID: i.ID, Observed: i.Observed, Phase: i.Phase, Role: i.Role, Ready: i.Ready, Restarts: i.Restarts,
			ExitCode: i.ExitCode, Code: i.Code, Message: i.Message, StartedAt: i.StartedAt},
	}
}

// nudge makes the keeper compare again soon.
func (k *keeper) nudge() {
	notify(k.wake)
	notify(k.jobWake)
}

// set gives the keeper a new wish. One for removal does not wait for what is
// being done.
func (k *keeper) set(w instance.Wish) {
	k.mu.Lock()
	news := !sameWish(k.wish, w)
	removal := w.Instance.Desired == instance.Remove && k.wish.Instance.Desired != instance.Remove
	k.wish = w
	k.unwanted = w.Instance.Desired == instance.Remove
	pending := make(map[string]bool, len(w.Actions))
	for _, a := range w.Actions {
		pending[a.ID] = true
	}
	for id := range k.finished {
		if !pending[id] {
			delete(k.finished, id)
		}
	}
	interrupt := k.interrupt
	k.mu.Unlock()
	if removal {
		interrupt()
	}
	if news {
		k.nudge()
	}
}

// sameWish says whether nothing else is wished: not what the facts are.
func sameWish(a, b instance.Wish) bool {
	return a.Instance.Generation == b.Instance.Generation && slices.EqualFunc(a.Actions, b.Actions, func(x, y instance.Action) bool { return x.ID == y.ID })
}

// unlist says that the control no longer knows the instance.
func (k *keeper) unlist() {
	k.mu.Lock()
	first := k.listed || k.wish.Instance.Desired != instance.Remove
	k.listed = false
	k.wish.Instance.Desired = instance.Remove
	interrupt, removed := k.interrupt, k.reached == clearing
	k.mu.Unlock()
	if first && !removed {
		interrupt()
	}
	k.nudge()
}

// stepAside ends the step that is being taken, so that another may begin.
func (k *keeper) stepAside() {
	k.mu.Lock()
	interrupt := k.interrupt
	k.mu.Unlock()
	interrupt()
}

func (k *keeper) current() instance.Wish {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wish
}

// at says whether what Halt or Clear asked for is done.
func (k *keeper) at(m mode) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reached >= m
}

// over says that nothing is left and nobody asks for the instance any more.
func (k *keeper) over() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reached == clearing && !k.listed
}

func (k *keeper) reach(m mode) {
	k.mu.Lock()
	changed := k.reached != m
	k.reached = m
	k.mu.Unlock()
	if changed && m != asWished {
		k.a.progress()
	}
}

// run takes steps until nothing is left of the instance or ctx ends.
func (k *keeper) run(ctx context.Context) {
	k.base = ctx
	defer k.letGo()
	for ctx.Err() == nil {
		step, cancel := context.WithCancel(ctx)
		k.mu.Lock()
		k.interrupt = func() { cancel(); k.nudge() }
		k.mu.Unlock()
		wait, err := k.step(step)
		interrupted := step.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case interrupted:
			continue
		case err != nil:
			wait = k.fail(err)
		default:
			k.failing = time.Time{}
			k.failures.reset()
			k.setLost(false)
		}
		if k.over() {
			return
		}
		if !k.pause(ctx, wait) {
			return
		}
	}
}

// pause waits until there may be something to do; 0 is until woken.
func (k *keeper) pause(ctx context.Context, wait time.Duration) bool {
	var after <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-k.wake:
	case <-after:
	case <-ctx.Done():
		return false
	}
	return true
}

// letGo ends what the keeper does in the background; containers go on.
func (k *keeper) letGo() {
	k.stopProbe()
	k.stopAction()
}

// step compares once and moves towards the wish. It returns when to look
// again at the latest, 0 being whenever something is heard.
func (k *keeper) step(ctx context.Context) (time.Duration, error) {
	found, err := k.a.looking.look(ctx)
	if err != nil {
		return 0, err
	}
	w, m := k.current(), k.a.modeNow()
	k.trying = w.Instance.Generation
	engine, job := status(found, string(k.id)), status(found, string(k.id)+jobSuffix)
	switch {
	case m == clearing || w.Instance.Desired == instance.Remove:
		return 0, k.remove(ctx, w, engine)
	case m == halting:
		return 0, k.halt(ctx, w, engine, job)
	case w.Instance.Desired == instance.Halt:
		return k.settle(ctx, w, engine, job)
	default:
		return k.keepRunning(ctx, w, engine, job)
	}
}

func status(found map[string]Status, id string) *Status {
	if s, ok := found[id]; ok {
		return &s
	}
	return nil
}

// settle makes everything but a running program, and runs jobs.
func (k *keeper) settle(ctx context.Context, w instance.Wish, engine, job *Status) (time.Duration, error) {
	if err := k.endProgram(ctx, w, engine); err != nil {
		return 0, err
	}
	if err := k.prepare(ctx, w); err != nil {
		return 0, err
	}
	k.startAt = time.Time{}
	k.restart.reset()
	k.report("", func(f *instance.Report) {
		k.crashed = 0
		f.Observed, f.Phase, f.Role, f.Ready, f.Code, f.Message, f.StartedAt = w.Instance.Generation, volvox.Stopped, "", false, "", "", nil
	})
	return 0, k.act(ctx, w, nil, job)
}

// endProgram stops the program and removes its container. None: nil.
func (k *keeper) endProgram(ctx context.Context, w instance.Wish, engine *Status) error {
	if engine == nil {
		return nil
	}
	if engine.State == Up {
		k.report("", func(f *instance.Report) { f.Phase, f.Ready, f.Message = volvox.Stopping, false, "" })
		if err := k.stopProgram(ctx, w); err != nil {
			return err
		}
	}
	k.stopProbe()
	if err := k.a.o.Runtime.Remove(ctx, string(k.id)); err != nil {
		return runtimeError("remove the container", err)
	}
	return nil
}

func (k *keeper) stopProgram(ctx context.Context, w instance.Wish) error {
	wait := time.Duration(w.Spec.Stop.GraceSeconds) * time.Second
	if wait <= 0 {
		wait = grace
	}
	if err := k.a.o.Runtime.Stop(ctx, string(k.id), w.Spec.Stop.Signal, wait); err != nil {
		return runtimeError("stop the program", err)
	}
	return nil
}

// halt stops the program and jobs although something else is wished.
func (k *keeper) halt(ctx context.Context, w instance.Wish, engine, job *Status) error {
	k.stopAction()
	if job != nil {
		if err := k.a.o.Runtime.Remove(ctx, string(k.id)+jobSuffix); err != nil {
			return runtimeError("remove the job", err)
		}
	}
	if err := k.endProgram(ctx, w, engine); err != nil {
		return err
	}
	k.report("", func(f *instance.Report) {
		f.Phase, f.Role, f.Ready, f.Code, f.Message, f.StartedAt = volvox.Stopped, "", false, "", "the computer is down", nil
	})
	k.reach(halting)
	return nil
}

// remove removes everything of the instance.
func (k *keeper) remove(ctx context.Context, w instance.Wish, engine *Status) error {
	if k.at(clearing) {
		return nil
	}
	k.report("", func(f *instance.Report) {
		if f.Phase != volvox.Deleting {
			f.Phase, f.Ready, f.Code, f.Message = volvox.Deleting, false, "", ""
		}
	})
	k.stopAction()
	rt := k.a.o.Runtime
	if err := rt.Remove(ctx, string(k.id)+jobSuffix); err != nil {
		return runtimeError("remove the job", err)
	}
	if engine != nil && engine.State == Up {
		if err := k.stopProgram(ctx, w); err != nil {
			return err
		}
	}
	k.stopProbe()
	if err := rt.Remove(ctx, string(k.id)); err != nil {
		return runtimeError("remove the container", err)
	}
	if err := k.a.o.Network.Detach(ctx, string(k.id)); err != nil {
		return volvox.AsError(err)
	}
	k.prepared = ""
	if err := errors.Join(k.discard(), removeAll(k.a.runDir(k.id)), k.log.remove(), k.jobLog.remove(),
		k.a.dir.removeRecords(w.Actions)); err != nil {
		return err
	}
	k.mu.Lock()
	tell := k.listed && k.wish.Instance.Desired == instance.Remove
	k.facts.Gone = true
	last := k.facts
	k.mu.Unlock()
	close(k.gone)
	k.reach(clearing)
	if tell {
		k.a.reports.add(last)
	}
	return nil
}

// discard puts the volumes aside. Those of an instance that was never wished
// away are kept for a while: its row may be missing because an older kernel
// was put back.
func (k *keeper) discard() error {
	k.mu.Lock()
	unwanted := k.unwanted
	k.mu.Unlock()
	if unwanted || k.a.modeNow() == clearing {
		return k.a.dir.discard(k.id)
	}
	dir, err := k.a.dir.quarantine(k.id)
	if dir != "" {
		k.a.o.Log.Warn("volumes that no row names are put aside, and deleted later", "instance", k.id,
			"directory", dir, "deleted", time.Now().Add(keepOrphans).UTC().Format(time.DateOnly))
	}
	return err
}

// report changes the facts and tells them if they are new, or if something
// happened.
func (k *keeper) report(happened string, change func(f *instance.Report)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reportLocked(happened, change)
}

func (k *keeper) reportLocked(happened string, change func(f *instance.Report)) {
	if k.facts.Gone {
		return
	}
	before := k.facts
	change(&k.facts)
	if !k.listed || (k.told && happened == "" && sameFacts(before, k.facts)) {
		return
	}
	k.told = true
	out := k.facts
	out.Event = happened
	k.a.reports.add(out)
}

func sameFacts(a, b instance.Report) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// fail reports that a step failed and returns when to try again. What may
// pass by itself makes the instance Failed only after a while.
func (k *keeper) fail(err error) time.Duration {
	e := failure(err)
	now := time.Now()
	if k.failing.IsZero() {
		k.failing = now
	}
	wait := k.failures.next()
	lost := !passing(e)
	k.setLost(lost)
	if lost {
		wait = hopeless
	}
	k.prepared = ""
	k.a.o.Log.Warn("cannot make the instance as wished", "instance", k.id, "error", err, "again", wait)
	k.report("", func(f *instance.Report) {
		f.Code, f.Message, f.Observed = e.Code, e.Error(), k.trying
		if (lost || now.Sub(k.failing) >= patience) && f.Phase != volvox.Deleting {
			f.Phase = volvox.Failed
			f.Ready = f.Ready && k.probe != nil // what runs and is probed may still do its work
		}
	})
	return wait
}

func (k *keeper) setLost(lost bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = lost
}

func (k *keeper) isLost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// failure gives an error a code.
func failure(err error) *volvox.Error {
	var e *volvox.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return volvox.Errorf(volvox.DiskFull, "the disk of the machine is full").From(err)
	case errors.Is(err, fs.ErrPermission):
		return volvox.Errorf(volvox.Denied, "the agent may not do what it must").From(err)
	}
	return volvox.AsError(err)
}

// passing says whether an error may pass without anybody changing anything.
func passing(e *volvox.Error) bool {
	return e.Kind().Retryable() || e.Kind() == volvox.KindInternal || e.Kind() == volvox.KindCancelled || e.Code == volvox.Busy
}

func runtimeError(what string, err error) error {
	var e *volvox.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return volvox.Errorf(volvox.RuntimeFailed, "cannot %s", what).From(err)
}

// digest names a spec: another digest needs another container.
func digest(s instance.Spec) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a spec is not JSON: %v", err)) // it holds strings and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// empty removes what is in a directory, not the directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, removeAll(filepath.Join(dir, e.Name())))
	}
	return err
}
