package workflow_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/workflow"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirectory); dir != "" {
		os.Exit(childMain(dir))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = time.Minute

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// effects is a table for what the workflows of the tests do.
func effects() store.Schema {
	return store.Schema{Owner: "test", Migrations: fstest.MapFS{"migrations/001_effects.sql": {Data: []byte(`
		-- What the workflows under test have done.
		CREATE TABLE effects (
			id       TEXT PRIMARY KEY, -- made up
			workflow TEXT NOT NULL,    -- who did it
			step     TEXT NOT NULL     -- in which step
		);`)}}}
}

func openIn(ctx context.Context, dir string) (*store.DB, error) {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	if err != nil {
		return nil, err
	}
	return db, db.Migrate(ctx, workflow.Schema(), effects())
}

func open(t *testing.T) *store.DB {
	t.Helper()
	db, err := openIn(testContext(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newEngine(t *testing.T, db *store.DB, executor string, defined ...workflow.Definition) *workflow.Engine {
	t.Helper()
	e, err := workflow.New(db, workflow.Options{Executor: executor, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}, defined...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(e) })
	return e
}

func start(t *testing.T, db *store.DB, executor string, defined ...workflow.Definition) *workflow.Engine {
	t.Helper()
	e := newEngine(t, db, executor, defined...)
	if err := e.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return e
}

// crash stops an engine without waiting for its steps: what they still do is
// not recorded, as if the process had died.
func crash(e *workflow.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Stop(ctx)
}

func begin[In, Out any](t *testing.T, e *workflow.Engine, w *workflow.Workflow[In, Out], in In, o ...workflow.StartOption) *workflow.Handle[Out] {
	t.Helper()
	h, err := w.Start(testContext(t), e, in, o...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func result[Out any](t *testing.T, h *workflow.Handle[Out]) Out {
	t.Helper()
	out, err := h.Result(testContext(t))
	if err != nil {
		t.Fatalf("workflow %s: %v", h.ID(), err)
	}
	return out
}

func stepsOf(t *testing.T, e *workflow.Engine, id string) []workflow.StepInfo {
	t.Helper()
	steps, err := e.Steps(testContext(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func infoOf(t *testing.T, e *workflow.Engine, id string) workflow.Info {
	t.Helper()
	n, err := e.Get(testContext(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-testContext(t).Done():
		t.Fatal("nothing came")
		panic("not reached")
	}
}

// nothing is the output of steps that return none.
type nothing struct{}

// do is a step that runs f.
func do(ctx workflow.Context, name string, f func(ctx context.Context) error, o ...workflow.StepOption) error {
	_, err := workflow.Step(ctx, name, func(c context.Context) (nothing, error) { return nothing{}, f(c) }, o...)
	return err
}

// gate lets a test hold a step: it says that it is there and waits.
type gate struct {
	reached chan string
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 100), make(chan struct{})} }

// pass waits for the gate, whatever happens to ctx.
func (g *gate) pass(name string) { g.reached <- name; <-g.open }

// heed waits for the gate or ctx.
func (g *gate) heed(ctx context.Context, name string) error {
	g.reached <- name
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// effect writes a row that tells what was done.
func effect(tx *store.Tx, workflowID, step string) error {
	_, err := tx.Exec(`INSERT INTO effects (id, workflow, step) VALUES ($1, $2, $3)`, newID(), workflowID, step)
	return err
}

func effectsOf(t *testing.T, db *store.DB, id string) (steps []string) {
	t.Helper()
	err := db.View(testContext(t), func(tx *store.Tx) (err error) {
		steps, err = store.All[string](tx, `SELECT step FROM effects WHERE workflow = $1 ORDER BY step`, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}
