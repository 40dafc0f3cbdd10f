package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// recordStatements insert the record of a step: one row if the workflow is
// still ours, none if it is not, or if the step has a record already, which
// then wins.
type recordStatements struct {
	unlessCancelled string
	detached        string // although the workflow was cancelled
}

var records = recordStatements{
	unlessCancelled: recordHead + `AND cancel_requested_at IS NULL` + recordTail,
	detached:        recordHead + recordTail,
}

const (
	recordHead = `INSERT INTO steps (workflow, seq, name, kind, output, error, attempts, started_at, ended_at)
		SELECT id, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT),
			CAST($7 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS BIGINT)
		FROM workflows WHERE id = $1 AND fence = $10 AND status = 'Running' `
	recordTail = ` ON CONFLICT (workflow, seq) DO NOTHING`
)

func (s recordStatements) statement(c call) string {
	if c.detached {
		return s.detached
	}
	return s.unlessCancelled
}

func recordValues(s StepInfo, fence int64) []any {
	return []any{s.Workflow, s.Seq, s.Name, s.Kind, s.Output, s.Error, s.Attempts, s.StartedAt, s.EndedAt, fence}
}

func (r *run) newRecord(c call) StepInfo {
	now := time.Now()
	return StepInfo{Workflow: r.id, Seq: r.seq + 1, Name: c.name, Kind: c.kind, StartedAt: now, EndedAt: now}
}

// result is what a record says that the step returned; err comes before it.
func (s *StepInfo) result(err error) (json.RawMessage, error) {
	switch {
	case err != nil:
		return nil, err
	case s.Error != nil:
		return nil, s.Error
	default:
		return s.Output, nil
	}
}

// enter begins a step. It does not return when the run is over. The caller
// puts busy back.
func (r *run) enter(c call) error {
	if !r.busy.CompareAndSwap(false, true) {
		return volvox.Errorf(volvox.Internal, "step %q of workflow %s was begun inside another step", c.name, r.id).
			Because("steps are taken one after the other, on the goroutine of the workflow (%s)", calledFrom())
	}
	if r.exit != exitNone || r.base.Err() != nil || r.e.draining() {
		defer r.busy.Store(false)
		r.leave(exitStopped, nil)
	}
	if err := checkText("name of a step", c.name); err != nil {
		r.busy.Store(false)
		return err
	}
	return nil
}

// before returns the record that the step has already, or the error with
// which a cancel refuses it; neither when it is to be run.
func (r *run) before(c call) (*StepInfo, error) {
	if r.cancelled && !c.detached {
		if r.refusals++; r.refusals > maxRefusals {
			r.leave(exitRunaway, nil)
		}
		return nil, cancelledError(r.id)
	}
	if r.seq < len(r.recorded) {
		rec := r.recorded[r.seq]
		r.match(c, rec)
		r.consume()
		return &rec, nil
	}
	if !c.detached && r.ctx.Err() != nil {
		return nil, r.notice(c, 0)
	}
	return nil, nil
}

// match compares a step with the record in its place. A difference parks the
// workflow.
func (r *run) match(c call, rec StepInfo) {
	refused := rec.Kind == KindCancel && !c.detached
	if rec.Name != c.name || (rec.Kind != c.kind && !refused) {
		r.leave(exitParked, determinism(r.id, r.seq+1, fmt.Sprintf("asks for %s %q (%s)", c.kind, c.name, calledFrom()), rec))
	}
	if refused {
		r.cancelled = true
	}
}

// consume goes to the next recorded step.
func (r *run) consume() {
	if r.seq++; r.seq >= len(r.recorded) {
		r.replaying.Store(false)
	}
}

// notice records that the workflow is cancelled here, in place of the step,
// and returns the error that says so. So a replay is cancelled at the same
// place.
func (r *run) notice(c call, attempts int) error {
	r.cancel(cancelledError(r.id))
	c.kind, c.detached = KindCancel, true
	rec := r.newRecord(c)
	rec.Error, rec.Attempts = cancelledError(r.id), attempts
	_, err := r.persist(c, &rec, func(ctx context.Context) (int64, error) { return r.insert(ctx, c, rec) })
	r.cancelled = true
	return err
}

// interrupted says whether a step that failed did so because its context
// ended; that is not recorded as its failure.
func (r *run) interrupted(c call, attempts int) (bool, error) {
	if r.base.Err() != nil {
		r.leave(exitStopped, nil)
	}
	if c.detached || r.ctx.Err() == nil {
		return false, nil
	}
	return true, r.notice(c, attempts)
}

// insert makes a record; 0 rows when it was refused.
func (r *run) insert(ctx context.Context, c call, rec StepInfo) (int64, error) {
	return r.e.db.Exec(ctx, r.e.record.statement(c), recordValues(rec, r.fence)...)
}

// errRefused undoes a transaction whose record was refused.
var errRefused = errors.New("the record of the step was refused")

// insertWith makes a record and f's writes one commit; 0 rows when it was
// refused, before f.
func (r *run) insertWith(ctx context.Context, c call, rec StepInfo, f func(tx *store.Tx) error) (int64, error) {
	err := r.e.db.Update(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(r.e.record.statement(c), recordValues(rec, r.fence)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return errRefused
		}
		return f(tx)
	})
	switch {
	case errors.Is(err, errRefused):
		return 0, nil
	case err != nil:
		return 0, err
	default:
		return 1, nil
	}
}

// persist writes a record until it is there, and returns the step's result.
// It does not return when the workflow is no longer ours.
func (r *run) persist(c call, rec *StepInfo, write func(ctx context.Context) (int64, error)) (json.RawMessage, error) {
	var n int64
	r.retry(fmt.Sprintf("record step %d, %s", rec.Seq, rec.Name), func() (err error) {
		n, err = write(r.writeContext(c))
		return err
	})
	if n == 0 {
		return r.examine(c, *rec)
	}
	r.seq++
	return rec.result(nil)
}

// examine finds out why a record was refused.
func (r *run) examine(c call, rec StepInfo) (json.RawMessage, error) {
	var now []claimed
	var there []StepInfo
	r.retry("read why its record was refused", func() error {
		return r.e.db.View(r.base, func(tx *store.Tx) (err error) {
			if now, err = store.All[claimed](tx, `SELECT `+claimedColumns+` FROM workflows WHERE id = $1`, r.id); err != nil {
				return err
			}
			there, err = store.All[StepInfo](tx, `SELECT `+stepColumns+` FROM steps WHERE workflow = $1 AND seq = $2`, r.id, rec.Seq)
			return err
		})
	})
	switch {
	case len(now) == 0 || now[0].Fence != r.fence || now[0].Status != Running:
		r.log.Warn("the workflow belongs to another executor now, or has ended", "step", rec.Name)
		r.halt(errFenced)
		r.leave(exitStopped, nil)
	case len(there) == 1: // an earlier attempt to write it had come through
		r.match(c, there[0])
		r.seq++
		return there[0].result(nil)
	case now[0].CancelRequestedAt != nil && !c.detached:
		return nil, r.notice(c, rec.Attempts)
	}
	r.leave(exitParked, volvox.Errorf(volvox.Internal, "the record of step %d of workflow %s was refused without a reason", rec.Seq, r.id))
	return nil, nil
}

// contextOf is what ends a step: a cancel, unless it is detached, and the end
// of the run.
func (r *run) contextOf(c call) context.Context {
	if c.detached {
		return r.base
	}
	return r.ctx
}

// stepContext is what a step's function gets.
func (r *run) stepContext(c call) context.Context {
	return store.WithStep(store.WithName(r.contextOf(c), r.name+" "+c.name), r.id, r.seq+1)
}

// writeContext is that of the record. A cancel does not end it: the record's
// own condition notices it.
func (r *run) writeContext(c call) context.Context {
	return store.WithStep(store.WithName(r.base, r.name+" "+c.name), r.id, r.seq+1)
}
