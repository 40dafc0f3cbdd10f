package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Status is how far a workflow is.
type Status string

// The statuses. The last three are ends: nothing changes after them.
const (
	Pending   Status = "Pending"   // recorded; no executor has taken it
	Running   Status = "Running"   // an executor has taken it, or had when it died
	Succeeded Status = "Succeeded" // returned without an error
	Failed    Status = "Failed"    // returned an error
	Cancelled Status = "Cancelled" // ended because of Cancel
)

// Ended says whether the workflow is over.
func (s Status) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Info is one row of the table workflows.
type Info struct {
	ID                string          `json:"id"`
	Name              string          `json:"name"`
	Project           string          `json:"project"`
	Kind              string          `json:"kind"`    // with Subject, what About said
	Subject           string          `json:"subject"` //
	Actor             volvox.Actor    `json:"actor"`   // who started it
	Status            Status          `json:"status"`
	Input             json.RawMessage `json:"input"`
	Output            json.RawMessage `json:"output"`
	Error             *volvox.Error   `json:"error"` // while it is Running: why it does not go on
	Executor          string          `json:"executor"`
	Fence             int64           `json:"fence"`
	Attempts          int64           `json:"attempts"`
	WakeAt            *time.Time      `json:"wake_at"`
	CreatedAt         time.Time       `json:"created_at"`
	StartedAt         *time.Time      `json:"started_at"`
	EndedAt           *time.Time      `json:"ended_at"`
	CancelRequestedAt *time.Time      `json:"cancel_requested_at"`
}

const infoColumns = `id, name, project, kind, subject, actor, status, input, output, error, executor, fence, attempts,
	wake_at, created_at, started_at, ended_at, cancel_requested_at`

// StepInfo is one row of the table steps.
type StepInfo struct {
	Workflow  string          `json:"workflow"`
	Seq       int             `json:"seq"` // from 1, without gaps
	Name      string          `json:"name"`
	Kind      StepKind        `json:"kind"`
	Output    json.RawMessage `json:"output"`
	Error     *volvox.Error   `json:"error"`
	Attempts  int             `json:"attempts"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   time.Time       `json:"ended_at"`
}

const stepColumns = `workflow, seq, name, kind, output, error, attempts, started_at, ended_at`

// StepKind is what a row of steps records.
type StepKind string

// The kinds of steps.
const (
	KindStep        StepKind = "step"
	KindTransaction StepKind = "transaction"
	KindSleep       StepKind = "sleep"
	KindCancel      StepKind = "cancel" // a step that was refused because of Cancel; without a name: the sleep before ended because of it
)

// Filter says which workflows to list; what is empty does not matter.
type Filter struct {
	Project string
	Kind    string // of what it is about
	Subject string
	Name    string
	Status  Status
	Limit   int // at most this many; 0: 100
}

// Get returns the workflow; E_NOT_FOUND if there is none of this ID.
func (e *Engine) Get(ctx context.Context, id string) (Info, error) {
	var found []Info
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All[Info](tx, `SELECT `+infoColumns+` FROM workflows WHERE id = $1`, id)
		return err
	})
	switch {
	case err != nil:
		return Info{}, fmt.Errorf("read workflow %s: %w", id, err)
	case len(found) == 0:
		return Info{}, notFound(id)
	default:
		return found[0], nil
	}
}

// List returns the workflows that the filter lets through, newest first.
func (e *Engine) List(ctx context.Context, f Filter) ([]Info, error) {
	var where []string
	var args []any
	for _, c := range []struct{ column, value string }{
		{"project", f.Project}, {"kind", f.Kind}, {"subject", f.Subject}, {"name", f.Name}, {"status", string(f.Status)},
	} {
		if c.value != "" {
			args = append(args, c.value)
			where = append(where, fmt.Sprintf("%s = $%d", c.column, len(args)))
		}
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	stmt := `SELECT ` + infoColumns + ` FROM workflows`
	if len(where) > 0 {
		stmt += ` WHERE ` + strings.Join(where, " AND ")
	}
	args = append(args, f.Limit)
	stmt += fmt.Sprintf(` ORDER BY created_at DESC, id DESC LIMIT $%d`, len(args))
	var found []Info
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All[Info](tx, stmt, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	return found, nil
}

// Steps returns the recorded steps of a workflow in order; none if there is
// no such workflow.
func (e *Engine) Steps(ctx context.Context, id string) ([]StepInfo, error) {
	var found []StepInfo
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All[StepInfo](tx, `SELECT `+stepColumns+` FROM steps WHERE workflow = $1 ORDER BY seq`, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the steps of workflow %s: %w", id, err)
	}
	return found, nil
}

func notFound(id string) error {
	return volvox.Errorf(volvox.NotFound, "there is no workflow %q", id).
		WithTry("volvox sql \"SELECT id, name, status FROM workflows\"")
}
