package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
	"github.com/volvox-os/volvox/workflow"
)

// world is a computer with one machine and a twin of its agent: everything is
// real but the machine.
type world struct {
	t         *testing.T
	ctx       context.Context
	db        *store.DB
	addons    []*addon.Addon
	machines  *machine.Service
	instances *instance.Service
	secrets   *secret.Service
	twin      *twin
	limits    Options // only the limits

	// Those of the present process; restart makes new ones.
	service *Service
	engine  *workflow.Engine
	lives   int
}

// first is a kernel as it is after the first start, and its key. It is made
// once and copied for each world, since that is quicker.
var first = sync.OnceValues(func() (kernel, error) {
	var k kernel
	dir, err := os.MkdirTemp("", "volvox-database-test")
	if err != nil {
		return k, err
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(context.Background(), filepath.Join(dir, "kernel.db"))
	if err != nil {
		return k, err
	}
	err = db.Migrate(context.Background(), workflow.Schema(), secret.Schema(), telemetry.Schema(), machine.Schema(), instance.Schema(), Schema())
	if err == nil {
		_, err = secret.Open(context.Background(), db, filepath.Join(dir, "secret.key"))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return k, err
	}
	if k.rows, err = os.ReadFile(filepath.Join(dir, "kernel.db")); err == nil {
		k.key, err = os.ReadFile(filepath.Join(dir, "secret.key"))
	}
	return k, err
})

type kernel struct{ rows, key []byte }

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(volvox.WithActor(context.Background(), "user:test"), deadline)
	w := &world{t: t, ctx: ctx}
	dir := t.TempDir()
	k, err := first()
	w.must(err)
	w.must(os.WriteFile(filepath.Join(dir, "kernel.db"), k.rows, 0o600))
	w.must(os.WriteFile(filepath.Join(dir, "secret.key"), k.key, 0o600))
	w.db, err = sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	w.must(err)
	t.Cleanup(func() {
		w.kill()
		cancel()
		w.must(w.db.Close())
	})
	w.must(w.db.Migrate(ctx, workflow.Schema(), secret.Schema(), telemetry.Schema(), machine.Schema(), instance.Schema(), Schema()))
	w.secrets, err = secret.Open(ctx, w.db, filepath.Join(dir, "secret.key"))
	w.must(err)
	counter, err := addon.Load(os.DirFS("../addon/testdata/counter"))
	w.must(err)
	w.addons = []*addon.Addon{counter}
	w.machines = machine.New(w.db)
	w.instances = instance.New(w.db, w.machines, w.secrets)
	w.must(w.machines.Register(ctx, machine.Machine{Name: "m1", ID: volvox.NewID(), Phase: volvox.Running, Address: "127.0.0.1",
		Range: "100.64.0.0/16", Arch: "amd64", CPUMillis: 2000, MemoryBytes: 8 << 30, DiskBytes: 100 << 30, BootID: "b", JoinedAt: time.Now(), BootedAt: time.Now()}))
	w.twin = newTwin(w.instances, "m1", w.addons)
	done := make(chan struct{})
	go func() { defer close(done); w.twin.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done }) // runs first
	return w
}

// boot makes a service and an engine, as a process does when it starts.
func (w *world) boot() *world {
	w.t.Helper()
	w.lives++
	w.service = New(Options{DB: w.db, Addons: w.addons, Instances: w.instances, Machines: machine.List, Secrets: w.secrets,
		Password: secret.Generate, Log: slog.New(slog.DiscardHandler), CreateLimit: w.limits.CreateLimit, StartLimit: w.limits.StartLimit, Output: w.limits.Output, RemoveLimit: w.limits.RemoveLimit})
	engine, err := workflow.New(w.db, workflow.Options{Executor: fmt.Sprintf("life-%d", w.lives), Log: slog.New(slog.DiscardHandler)}, w.service.Workflows()...)
	w.must(err)
	w.engine = engine
	w.service.Use(engine)
	w.must(engine.Start(w.ctx))
	return w
}

// kill ends the engine at once, as the death of its process does: what its
// steps still do is not recorded.
func (w *world) kill() {
	if w.engine == nil {
		return
	}
	now, cancel := context.WithCancel(w.ctx)
	cancel()
	_ = w.engine.Stop(now)
	w.engine = nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v (%s)", err, volvox.CodeOf(err))
	}
}

// create makes a database and waits for it.
func (w *world) create(wish Wish) Cluster {
	w.t.Helper()
	_, id, err := w.service.Create(w.ctx, wish)
	w.must(err)
	return w.made(id)
}

// made waits until a workflow has made a database, and returns that.
func (w *world) made(id string) Cluster {
	w.t.Helper()
	t, err := workflow.Open[Target](w.engine, id).Result(w.ctx)
	w.must(err)
	c, err := w.service.Get(w.ctx, t.Project, t.Name)
	w.must(err)
	if c.ID != t.ID {
		w.t.Fatalf("the workflow returned %+v, there is %+v", t, c)
	}
	return c
}

// ended waits for the end of a workflow.
func (w *world) ended(id string) workflow.Info {
	w.t.Helper()
	_, err := workflow.Open[json.RawMessage](w.engine, id).Result(w.ctx)
	info, missing := w.engine.Get(w.ctx, id)
	if missing != nil || !info.Status.Ended() {
		w.t.Fatalf("workflow %s has not ended: %v, %v", id, err, missing)
	}
	return info
}

// steps calls act whenever a workflow has recorded a step, with how many there
// are since the watch, until act says true.
func (w *world) steps(id string, watch iter.Seq2[store.Change, error], act func(n int) bool) {
	w.t.Helper()
	n := 0
	for c, err := range watch {
		w.must(err)
		if c.Row["workflow"] != id || c.Op != "insert" {
			continue
		}
		if n++; act(n) {
			return
		}
	}
	w.t.Fatal("the steps ended too early: ", w.ctx.Err())
}

// watch sees the steps from now on.
func (w *world) watch() iter.Seq2[store.Change, error] {
	return w.db.Watch(w.ctx, store.Now(), "steps")
}

// rows are the rows of a database that do not depend on when it was made.
func (w *world) rows(c Cluster) string {
	w.t.Helper()
	var out strings.Builder
	w.must(w.db.View(w.ctx, func(tx *store.Tx) error {
		out.Reset()
		for _, q := range []string{
			`SELECT project, name, engine, version, topology, replicas, cpu_millis, memory_bytes, storage_bytes, params, phase, code, message FROM clusters ORDER BY name`,
			`SELECT project, cluster, name, kind, place, replicas, phase, code, message, primary_instance FROM components ORDER BY name`,
			`SELECT project, cluster, name, component, username, admin, secret FROM accounts ORDER BY name`,
			`SELECT project, name FROM secrets ORDER BY name`,
			`SELECT project, name, cluster, component, ordinal, machine, address, desired, generation, phase, observed, role, ready, restarts FROM instances ORDER BY name`,
			`SELECT name, machine, image, cpu_millis, memory_bytes, storage_bytes, spec FROM instance_specs ORDER BY name`,
			`SELECT instance, name, machine, path, bytes FROM volumes ORDER BY instance, name`,
			`SELECT instance, machine, reason FROM placements ORDER BY instance`,
			`SELECT id, instance, name, place, command, env, status, exit FROM actions ORDER BY id`,
			`SELECT seq, name, kind, error FROM steps ORDER BY workflow, seq`,
			`SELECT name, kind, subject, status, error FROM workflows ORDER BY id`,
		} {
			fmt.Fprintf(&out, "-- %s\n", q)
			if err := dump(tx, q, &out); err != nil {
				return err
			}
		}
		return nil
	}))
	return strings.ReplaceAll(out.String(), string(c.ID), "ID")
}

func dump(tx *store.Tx, q string, out *strings.Builder) error {
	n := strings.Count(q[:strings.Index(q, " FROM ")], ",") + 1
	for row, err := range tx.Query(q) {
		if err != nil {
			return err
		}
		values, dest := make([]any, n), make([]any, n)
		for i := range values {
			dest[i] = &values[i]
		}
		if err := row.Scan(dest...); err != nil {
			return err
		}
		fmt.Fprintln(out, values...)
	}
	return nil
}

// left says what is left of any database.
func (w *world) left() (found []string) {
	w.t.Helper()
	w.must(w.db.View(w.ctx, func(tx *store.Tx) error {
		found = nil
		for _, table := range []string{"clusters", "components", "accounts", "secrets", "instances", "instance_specs", "volumes", "placements", "actions"} {
			n, err := store.One[int64](tx, `SELECT COUNT(*) FROM `+table)
			if err != nil {
				return err
			}
			if n != 0 {
				found = append(found, fmt.Sprintf("%d rows of %s", n, table))
			}
		}
		return nil
	}))
	return found
}

func (w *world) nothingLeft() {
	w.t.Helper()
	for _, what := range w.left() {
		w.t.Errorf("%s are left", what)
	}
}

// What the tests look at shows a database that is there, in every table, and
// tells databases apart.
func TestChecksSee(t *testing.T) {
	t.Parallel()
	w := newWorld(t).boot()
	if left := w.left(); len(left) != 0 {
		t.Errorf("in an empty kernel there is %v", left)
	}
	c := w.create(shop)
	if left := w.left(); len(left) != 9 {
		t.Errorf("of a database that is there only these are seen: %v", left)
	}
	before := w.rows(c)
	for _, change := range []string{
		`UPDATE instances SET generation = generation + 1 WHERE name = 'shop-counter-1'`,
		`UPDATE components SET primary_instance = 'shop-counter-1'`,
		`UPDATE actions SET exit = 11 WHERE name = 'join'`,
		`DELETE FROM volumes WHERE instance = 'shop-counter-2'`,
	} {
		_, err := w.db.Exec(w.ctx, change)
		w.must(err)
		after := w.rows(c)
		if after == before {
			t.Errorf("this is not seen: %s", change)
		}
		before = after
	}
}

// events are the lines about a thing.
func (w *world) events(kind, name string) (found []telemetry.Event) {
	w.t.Helper()
	w.must(w.db.View(w.ctx, func(tx *store.Tx) (err error) {
		found, err = telemetry.List(tx, volvox.DefaultProject, kind, name, 100)
		return err
	}))
	return found
}

// until waits until the cluster is what want says.
func (w *world) until(name, what string, want func(Cluster) bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	changes := w.db.Watch(ctx, store.Now(), "clusters", "components")
	c, err := w.service.Get(ctx, volvox.DefaultProject, name)
	w.must(err)
	if want(c) {
		return
	}
	for _, err := range changes {
		w.must(err)
		c, err = w.service.Get(ctx, volvox.DefaultProject, name)
		w.must(err)
		if want(c) {
			return
		}
	}
	w.t.Fatalf("database %s was never %s: %+v", name, what, c)
}
