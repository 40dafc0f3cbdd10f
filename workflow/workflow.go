package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Workflow is a function with a name under which its runs are recorded.
type Workflow[In, Out any] struct {
	name string
	f    func(ctx Context, in In) (Out, error)
}

// Define gives a function a name under which it can be recorded. The name
// must stay as long as there are unended workflows of it. In and Out must
// survive being written as JSON and read back; both can be read by whoever may
// read the tables, so secrets are passed by name.
func Define[In, Out any](name string, f func(ctx Context, in In) (Out, error)) *Workflow[In, Out] {
	return &Workflow[In, Out]{name, f}
}

// Definition is any *Workflow, to be registered.
type Definition interface {
	Name() string
	invoke(ctx Context, input json.RawMessage) (json.RawMessage, error)
}

// Name is the name given to Define.
func (w *Workflow[In, Out]) Name() string { return w.name }

func (w *Workflow[In, Out]) invoke(ctx Context, input json.RawMessage) (json.RawMessage, error) {
	var in In
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, notSerializable("input of workflow "+w.name, err)
	}
	out, err := w.f(ctx, in)
	if err != nil {
		return nil, err
	}
	return encode("output of workflow "+w.name, out)
}

// Start begins a workflow and returns its handle. When it returns nil, the
// workflow is on disk and will run to its end, whatever happens to this
// process; on an engine that is not started it begins with [Engine.Start].
//
// The ID is the idempotency key: the same ID with the same workflow and input
// returns the handle of the first one, ended or not; with another workflow or
// input it is E_EXISTS.
func (w *Workflow[In, Out]) Start(ctx context.Context, e *Engine, in In, o ...StartOption) (*Handle[Out], error) {
	n, err := e.prepare(ctx, w, in, o)
	if err != nil {
		return nil, err
	}
	if e.runsNow() {
		n.Status, n.Executor, n.Fence, n.Attempts, n.StartedAt = Running, e.executor, 1, 1, &n.CreatedAt
	}
	inserted, err := e.db.Exec(named(ctx, "start "+w.name, n.ID), insertWorkflow, n.values()...)
	if err != nil {
		return nil, fmt.Errorf("start workflow %s: %w", n.ID, err)
	}
	if inserted == 0 {
		there, err := e.Get(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		return &Handle[Out]{e, n.ID}, n.same(there)
	}
	if n.Status == Running {
		e.launch(claimed{ID: n.ID, Name: n.Name, Input: n.Input, Fence: 1})
	}
	return &Handle[Out]{e, n.ID}, nil
}

// StartIn is Start as part of a transaction: the workflow begins when tx is
// committed, or never. Its handle is of use after the commit.
func (w *Workflow[In, Out]) StartIn(tx *store.Tx, e *Engine, in In, o ...StartOption) (*Handle[Out], error) {
	n, err := e.prepare(tx.Context(), w, in, o)
	if err != nil {
		return nil, err
	}
	inserted, err := tx.Exec(insertWorkflow, n.values()...)
	if err != nil {
		return nil, fmt.Errorf("start workflow %s: %w", n.ID, err)
	}
	if inserted == 0 {
		there, err := store.One[Info](tx, `SELECT `+infoColumns+` FROM workflows WHERE id = $1`, n.ID)
		if err != nil {
			return nil, fmt.Errorf("start workflow %s: %w", n.ID, err)
		}
		return &Handle[Out]{e, n.ID}, n.same(there)
	}
	return &Handle[Out]{e, n.ID}, nil // the feed tells the engine, if tx is committed
}

// StartOption is [ID] or [About].
type StartOption func(*Info)

// ID gives the workflow its ID, which is its idempotency key: up to 200
// printable characters. Without it the workflow gets a new one.
func ID(id string) StartOption { return func(n *Info) { n.ID = id } }

// About says what the workflow is about ("cluster", "main", "shop"), so that
// it can be found.
func About(kind, project, name string) StartOption {
	return func(n *Info) { n.Kind, n.Project, n.Subject = kind, project, name }
}

const insertWorkflow = `INSERT INTO workflows (id, name, project, kind, subject, actor, status, input, executor, fence, attempts, created_at, started_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`

func (n *Info) values() []any {
	return []any{n.ID, n.Name, n.Project, n.Kind, n.Subject, n.Actor, n.Status, string(n.Input), n.Executor, n.Fence, n.Attempts, n.CreatedAt, n.StartedAt}
}

// prepare makes the row of a workflow to be started, Pending.
func (e *Engine) prepare(ctx context.Context, d Definition, in any, o []StartOption) (*Info, error) {
	if e.definitions[d.Name()] != d {
		return nil, volvox.Errorf(volvox.Internal, "workflow %s is not registered with this engine", d.Name())
	}
	input, err := encode("input of workflow "+d.Name(), in)
	if err != nil {
		return nil, err
	}
	n := &Info{
		ID: string(volvox.NewID()), Name: d.Name(), Project: volvox.DefaultProject, Actor: volvox.ActorOf(ctx),
		Status: Pending, Input: input, CreatedAt: time.Now(),
	}
	for _, option := range o {
		option(n)
	}
	if n.Project == "" {
		n.Project = volvox.DefaultProject
	}
	return n, checkText("ID of a workflow", n.ID)
}

// same says whether a workflow found under n's ID is the one that n asks for.
func (n *Info) same(there Info) error {
	e := volvox.Errorf(volvox.Exists, "workflow %q exists already", n.ID)
	switch {
	case there.Name != n.Name:
		return e.Because("it runs %s, not %s", there.Name, n.Name).WithTry("choose another ID")
	case string(there.Input) != string(n.Input):
		return e.Because("it was started with other input: %s", difference(there.Input, n.Input)).WithTry("choose another ID")
	default:
		return nil
	}
}

// difference names the fields in which two inputs differ, not their values.
func difference(a, b json.RawMessage) string {
	var x, y map[string]json.RawMessage
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return "the values differ"
	}
	fields := map[string]bool{}
	for _, m := range []map[string]json.RawMessage{x, y} {
		for k := range m {
			if string(x[k]) != string(y[k]) {
				fields[k] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(fields)), ", ") + " differ"
}

// checkText holds names and IDs to what a person can read and type.
func checkText(what, s string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if s == "" || len(s) > 200 || strings.ContainsFunc(s, bad) {
		return volvox.Errorf(volvox.BadInput, "%q cannot be the %s", s, what).Because("it has 1 to 200 bytes of printable characters")
	}
	return nil
}
