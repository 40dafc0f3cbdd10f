package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Engine runs workflows on a database. All its methods may be called at once.
type Engine struct {
	db          *store.DB
	log         *slog.Logger
	executor    string
	definitions map[string]Definition
	record      recordStatements
	linger      time.Duration // a longer sleep is not waited for on the workflow's goroutine

	base     context.Context // of all that the engine does; ends when Stop has waited enough
	halt     context.CancelCauseFunc
	drain    chan struct{} // closed when no new step may begin
	over     chan struct{} // closed when Stop has done its work
	wg       sync.WaitGroup
	feed     sync.Once
	watching sync.WaitGroup
	toTake   chan struct{} // gets a value when there is something in wanted

	mu      sync.Mutex
	state   engineState
	runs    map[string]*run // those that run here, by ID
	asleep  map[string]*sleeper
	parked  map[string]int64   // those that cannot go on here, with their fence
	wanted  []want             // those to be taken
	waiters map[string]*waiter // who waits for a workflow's end
}

type engineState int

const (
	isNew engineState = iota
	isStarting
	isRunning
	isStopped
)

// Options of an engine.
type Options struct {
	Executor string       // names this process; unique among those that run; empty: a new ID
	Log      *slog.Logger // nil: slog.Default()
}

// New makes an engine for the given workflows; db must have been migrated to
// [Schema]. Two workflows of one name are refused.
func New(db *store.DB, o Options, workflows ...Definition) (*Engine, error) {
	if o.Executor == "" {
		o.Executor = string(volvox.NewID())
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Engine{
		db: db, log: o.Log, executor: o.Executor, definitions: map[string]Definition{}, record: records, linger: time.Second,
		drain: make(chan struct{}), over: make(chan struct{}), toTake: make(chan struct{}, 1),
		runs: map[string]*run{}, asleep: map[string]*sleeper{}, parked: map[string]int64{}, waiters: map[string]*waiter{},
	}
	e.base, e.halt = context.WithCancelCause(context.Background())
	for _, w := range workflows {
		if err := checkText("name of a workflow", w.Name()); err != nil {
			return nil, err
		}
		if e.definitions[w.Name()] != nil {
			return nil, volvox.Errorf(volvox.Internal, "two workflows are named %s", w.Name())
		}
		e.definitions[w.Name()] = w
	}
	return e, nil
}

// Start takes over what an earlier process left and begins to run. Workflows
// whose name is not registered stay as they are, with a warning in the log.
// ctx bounds the taking over only. Start again, or after Stop, is an error.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	if e.state != isNew {
		defer e.mu.Unlock()
		return volvox.Errorf(volvox.Internal, "the workflow engine %s was started before", e.executor)
	}
	e.state = isStarting
	e.mu.Unlock()
	e.follow()
	if err := e.takeOver(ctx); err != nil {
		return fmt.Errorf("take over workflows: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state == isStarting { // and not stopped meanwhile
		e.state = isRunning
		e.wg.Go(e.takeWanted)
	}
	return nil
}

func (e *Engine) runsNow() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state == isRunning
}

// Stop lets no new step begin, waits for the steps that run until ctx ends,
// and returns. If ctx ends first, the contexts of those steps end, what they
// still do is not recorded, and the error says how many there were. The
// workflows go on at the next Start of an engine. Stopping twice, or before
// Start, is allowed.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	first := e.state != isStopped
	e.state = isStopped
	if first {
		close(e.drain)
	}
	for id := range e.asleep {
		e.forgetSleeper(id)
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() { e.wg.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		e.mu.Lock()
		err = volvox.Errorf(volvox.Timeout, "%d workflows did not stop in time", len(e.runs)).From(ctx.Err())
		e.mu.Unlock()
	}
	e.halt(errStopped)
	e.watching.Wait()
	if first {
		close(e.over)
	}
	return err
}

func (e *Engine) draining() bool {
	select {
	case <-e.drain:
		return true
	default:
		return false
	}
}

// Cancel asks the workflow to end. When it returns nil the request is on
// disk, and at most one more step body begins; the step that runs sees its context end; steps then give
// E_CANCELLED, except under [Context.WithoutCancel]. Cancelling twice, or what
// has ended, does nothing. No such workflow is E_NOT_FOUND.
//
// A workflow that returns without an error and without a step having been
// refused has Succeeded: the request came too late.
func (e *Engine) Cancel(ctx context.Context, id string) error {
	known := false
	err := e.db.Update(named(ctx, "cancel workflow", id), func(tx *store.Tx) error {
		rows, err := store.All[Info](tx, `SELECT `+infoColumns+` FROM workflows WHERE id = $1`, id)
		if known = len(rows) > 0; err != nil || !known {
			return err
		}
		now := time.Now()
		switch n := rows[0]; {
		case n.Status.Ended() || n.CancelRequestedAt != nil:
		case n.Fence == 0: // nothing has been done yet
			_, err = tx.Exec(`UPDATE workflows SET status = 'Cancelled', error = $2, cancel_requested_at = $3, ended_at = $3 WHERE id = $1`,
				id, cancelledError(id), now)
		default:
			_, err = tx.Exec(`UPDATE workflows SET cancel_requested_at = $2 WHERE id = $1`, id, now)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cancel workflow %s: %w", id, err)
	}
	if !known {
		return notFound(id)
	}
	e.interrupt(id)
	return nil
}

// interrupt tells the run of a workflow that it is cancelled. One that cannot
// go on is taken again, to be ended.
func (e *Engine) interrupt(id string) {
	e.mu.Lock()
	if r := e.runs[id]; r != nil {
		r.cancel(cancelledError(id))
	}
	if s := e.asleep[id]; s != nil {
		s.timer.Reset(0)
	}
	fence, parked := e.parked[id]
	delete(e.parked, id)
	e.mu.Unlock()
	if parked {
		e.want(want{id, fence})
	}
}

// launch runs a workflow that this engine has taken.
func (e *Engine) launch(c claimed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state == isStopped {
		return // it goes on at the next Start
	}
	if old := e.runs[c.ID]; old != nil {
		old.halt(errFenced)
	}
	r := newRun(e, c)
	e.runs[c.ID] = r
	e.wg.Go(r.main)
}

// retire forgets a run whose goroutine ends.
func (e *Engine) retire(r *run) {
	e.mu.Lock()
	current := e.runs[r.id] == r
	if current {
		delete(e.runs, r.id)
	}
	parked := current && r.exit == exitParked
	late := parked && r.ctx.Err() != nil // cancelled while it was being parked
	if parked && !late {
		e.parked[r.id] = r.fence
	}
	if current && r.exit == exitAsleep && e.state != isStopped {
		e.putToSleep(r)
	}
	e.mu.Unlock()
	if late {
		e.want(want{r.id, r.fence})
	}
	r.halt(context.Canceled)
	close(r.done)
	e.wake(r.id)
}

// sleeper is a workflow that is ours and sleeps, without a goroutine.
type sleeper struct {
	fence int64
	timer *time.Timer
}

// putToSleep sets the timer that runs a workflow again; e.mu is held.
func (e *Engine) putToSleep(r *run) {
	c := claimed{ID: r.id, Name: r.name, Fence: r.fence} // its input is read when it wakes
	d := time.Until(r.until)
	if r.ctx.Err() != nil && !r.cancelled && !r.deaf {
		d = 0 // cancelled since it went to sleep
	}
	s := &sleeper{fence: r.fence}
	s.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		mine := e.asleep[c.ID] == s
		if mine {
			delete(e.asleep, c.ID)
		}
		e.mu.Unlock()
		if mine {
			e.launch(c)
		}
	})
	e.asleep[c.ID] = s
}

// forgetSleeper lets a workflow sleep on without us; e.mu is held.
func (e *Engine) forgetSleeper(id string) {
	if s := e.asleep[id]; s != nil {
		s.timer.Stop()
		delete(e.asleep, id)
	}
}

// claimed is what is needed of a row to run it.
type claimed struct {
	ID                string          `json:"id"`
	Name              string          `json:"name"`
	Status            Status          `json:"status"`
	Input             json.RawMessage `json:"input"`
	Fence             int64           `json:"fence"`
	CancelRequestedAt *time.Time      `json:"cancel_requested_at"`
}

const claimedColumns = `id, name, status, input, fence, cancel_requested_at`

// named gives the transactions under ctx their name, and the workflow that
// they are for.
func named(ctx context.Context, what, id string) context.Context {
	return store.WithStep(store.WithName(ctx, what), id, 0)
}
