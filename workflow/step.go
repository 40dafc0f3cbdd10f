package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Step runs f at least once and records what it returned, once: after that, f
// never runs again for this step, and every replay returns the record. If the
// process dies between f's end and its record, f runs again, so it has to
// bear that.
//
// f's error is recorded as f's result is, and comes back as a [*volvox.Error]
// of the same code; a panic of f is such an error, with its stack. If the
// workflow is cancelled before the record is made, Step returns E_CANCELLED:
// f may have run then, or not, or in part.
func Step[T any](ctx Context, name string, f func(ctx context.Context) (T, error), o ...StepOption) (T, error) {
	var result T
	output, err := ctx.run.step(call{kind: KindStep, name: name, detached: ctx.detached}, o, func(c context.Context) (json.RawMessage, error) {
		v, err := f(c)
		if err != nil {
			return nil, err
		}
		return encode(fmt.Sprintf("output of step %q", name), v)
	})
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(output, &result); err != nil {
		return result, notSerializable(fmt.Sprintf("output of step %q", name), err)
	}
	return result, nil
}

// Transaction runs f exactly once: its writes and its record are one commit.
// f may be run again before that, as by [store.DB.Update]; an error or panic
// of f undoes its writes and is recorded. A workflow that was cancelled or
// taken over has its transaction refused before f runs.
func Transaction(ctx Context, name string, f func(tx *store.Tx) error) error {
	return ctx.run.transaction(call{kind: KindTransaction, name: name, detached: ctx.detached}, f)
}

// Sleep waits until d after the moment it was first called, however often the
// process dies meanwhile: the moment is recorded before the waiting begins. A
// cancel ends it with E_CANCELLED.
func Sleep(ctx Context, d time.Duration) error {
	return ctx.run.sleep(call{kind: KindSleep, name: "sleep", detached: ctx.detached}, d)
}

// StepOption is [Retry] or [StepTimeout].
type StepOption func(*stepOptions)

type stepOptions struct {
	attempts  int
	first     time.Duration
	retryable func(error) bool
	timeout   time.Duration
}

// Retry repeats a failed step up to attempts times in all, waiting first and
// then twice as long each time, at most a minute. retryable nil retries
// errors whose kind is retryable. A process that dies begins to count again.
func Retry(attempts int, first time.Duration, retryable func(error) bool) StepOption {
	return func(o *stepOptions) { o.attempts, o.first, o.retryable = attempts, first, retryable }
}

// StepTimeout ends an attempt's context after d; the attempt's error is then
// E_TIMEOUT. The step's function has to heed its context: nothing else stops it.
func StepTimeout(d time.Duration) StepOption { return func(o *stepOptions) { o.timeout = d } }

const maxRetryWait = time.Minute

// call is a step as the code asks for it.
type call struct {
	kind     StepKind
	name     string
	detached bool // a cancel does not matter
}

func (r *run) step(c call, options []StepOption, f func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	if err := r.enter(c); err != nil {
		return nil, err
	}
	defer r.busy.Store(false)
	if rec, err := r.before(c); rec != nil || err != nil {
		return rec.result(err)
	}
	rec := r.newRecord(c)
	o := stepOptions{attempts: 1}
	for _, set := range options {
		set(&o)
	}
	if o.retryable == nil {
		o.retryable = retryable
	}
	var err error
	rec.Output, err = r.attempts(c, o, f, &rec.Attempts)
	if err != nil {
		rec.Error = recorded(err)
		if cancelled, err := r.interrupted(c, rec.Attempts); cancelled {
			return nil, err
		}
	}
	rec.EndedAt = time.Now()
	return r.persist(c, &rec, func(ctx context.Context) (int64, error) { return r.insert(ctx, c, rec) })
}

// attempts runs f until it succeeds or is not to be tried again.
func (r *run) attempts(c call, o stepOptions, f func(context.Context) (json.RawMessage, error), n *int) (json.RawMessage, error) {
	wait := o.first
	for {
		*n++
		out, err := r.attempt(c, o, f)
		if err == nil || *n >= o.attempts || r.contextOf(c).Err() != nil || !o.retryable(err) {
			return out, err
		}
		r.log.Warn("a step failed; trying again", "step", c.name, "attempt", *n, "wait", wait, "error", err)
		r.pause(c, wait)
		wait = min(2*wait, maxRetryWait)
		if r.contextOf(c).Err() != nil {
			return nil, err
		}
	}
}

func (r *run) attempt(c call, o stepOptions, f func(context.Context) (json.RawMessage, error)) (out json.RawMessage, err error) {
	ctx := r.stepContext(c)
	if o.timeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, o.timeout)
		defer end()
	}
	err = guard(fmt.Sprintf("step %q", c.name), func() (err error) { out, err = f(ctx); return err })
	if err != nil && ctx.Err() != nil && r.contextOf(c).Err() == nil {
		err = volvox.Errorf(volvox.Timeout, "step %q took longer than %v", c.name, o.timeout).From(err)
	}
	return out, err
}

func retryable(err error) bool { return volvox.AsError(err).Kind().Retryable() }

func (r *run) transaction(c call, f func(tx *store.Tx) error) error {
	if err := r.enter(c); err != nil {
		return err
	}
	defer r.busy.Store(false)
	if rec, err := r.before(c); rec != nil || err != nil {
		_, err := rec.result(err)
		return err
	}
	rec := r.newRecord(c)
	rec.Attempts = 1
	_, err := r.persist(c, &rec, func(ctx context.Context) (int64, error) {
		if rec.Error != nil {
			return r.insert(ctx, c, rec)
		}
		var failed error // what f returned; its writes are undone then
		n, err := r.insertWith(ctx, c, rec, func(tx *store.Tx) error {
			failed = guard(fmt.Sprintf("transaction %q", c.name), func() error { return f(tx) })
			return failed
		})
		full := volvox.CodeOf(err) == volvox.DiskFull
		if err == nil || full || r.base.Err() != nil || (failed == nil && transient(err)) {
			return n, err
		}
		rec.Error, rec.EndedAt = recorded(cmp.Or(failed, err)), time.Now()
		return r.insert(ctx, c, rec)
	})
	return err
}

func (r *run) sleep(c call, d time.Duration) error {
	if err := r.enter(c); err != nil {
		return err
	}
	defer r.busy.Store(false)
	rec, err := r.before(c)
	if err != nil {
		return err
	}
	if rec == nil {
		n := r.newRecord(c)
		until := n.StartedAt.Add(d)
		n.Output, n.Attempts = json.RawMessage(fmt.Sprint(until.UnixMicro())), 1
		rec = &n
		rec.Output, err = r.persist(c, rec, func(ctx context.Context) (int64, error) {
			return r.insertWith(ctx, c, n, func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE workflows SET wake_at = $2 WHERE id = $1`, r.id, until)
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	if rec.Error != nil {
		return rec.Error
	}
	if r.seq < len(r.recorded) {
		return r.slept(c)
	}
	var until int64
	if err := json.Unmarshal(rec.Output, &until); err != nil {
		r.leave(exitParked, volvox.Errorf(volvox.Corrupt, "step %d of workflow %s, a sleep, has no end", rec.Seq, r.id).From(err))
	}
	left := time.Until(time.UnixMicro(until))
	if r.pause(c, min(left, r.e.linger)); !c.detached && r.ctx.Err() != nil {
		return r.notice(call{kind: KindSleep}, 0)
	}
	if left > r.e.linger {
		r.until, r.deaf = time.UnixMicro(until), c.detached
		r.leave(exitAsleep, nil)
	}
	return nil
}

// slept is the end of a sleep that others were recorded after: it was waited
// for, or a cancel ended it.
func (r *run) slept(c call) error {
	next := r.recorded[r.seq]
	if next.Kind != KindCancel || next.Name != "" {
		return nil
	}
	r.consume()
	r.cancelled = true
	return next.Error
}

// pause waits for d; less if the workflow is cancelled or the engine stops.
func (r *run) pause(c call, d time.Duration) {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.contextOf(c).Done():
		case <-r.e.drain:
		}
	}
	if r.base.Err() != nil || r.e.draining() {
		r.leave(exitStopped, nil)
	}
}
