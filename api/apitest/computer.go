// Package apitest is a computer for tests of its doors: everything is real,
// the kernel, the services, the workflows and the socket, but the machine: in
// place of an agent with containers a twin says that all wishes came true.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
	"github.com/volvox-os/volvox/workflow"
)

// Deadline bounds every wait of a test, generously.
const Deadline = time.Minute

// Machine is the name of the one machine.
const Machine = "m1"

// Engine is the name of the one engine.
const Engine = "counter"

// Computer is a computer that is up until its test ends.
type Computer struct {
	Socket string
	DB     *store.DB
	Twin   *Twin

	mu      sync.Mutex
	ready   bool
	asked   []api.Shutdown
	began   time.Time
	onStop  func()
	options api.Options
}

// Start boots a computer and serves its API on a unix socket.
func Start(t testing.TB) *Computer {
	t.Helper()
	ctx, cancel := context.WithCancel(volvox.WithActor(context.Background(), "user:test"))
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			cancel()
			t.Fatalf("%v (%s)", err, volvox.CodeOf(err))
		}
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	must(err)
	must(db.Migrate(ctx, workflow.Schema(), secret.Schema(), telemetry.Schema(), machine.Schema(), instance.Schema(), addon.Schema(), database.Schema()))
	secrets, err := secret.Open(ctx, db, filepath.Join(dir, "secret.key"))
	must(err)
	counter, err := addon.Load(os.DirFS(testdata()))
	must(err)
	must(addon.Record(ctx, db, []*addon.Addon{counter}))
	machines := machine.New(db)
	instances := instance.New(db, machines, secrets)
	must(machines.Register(ctx, machine.Machine{Name: Machine, ID: volvox.NewID(), Phase: volvox.Running, Address: "127.0.0.1",
		Range: "100.64.0.0/16", Arch: "amd64", CPUMillis: 2000, MemoryBytes: 8 << 30, DiskBytes: 100 << 30, BootID: "b", JoinedAt: time.Now(), BootedAt: time.Now()}))
	databases := database.New(database.Options{DB: db, Addons: []*addon.Addon{counter}, Instances: instances, Machines: machine.List,
		Secrets: secrets, Password: secret.Generate, Log: slog.New(slog.DiscardHandler)})
	engine, err := workflow.New(db, workflow.Options{Executor: "test", Log: slog.New(slog.DiscardHandler)}, databases.Workflows()...)
	must(err)
	databases.Use(engine)
	must(engine.Start(ctx))

	c := &Computer{DB: db, Twin: newTwin(instances, counter), ready: true, began: time.Now()}
	c.options = api.Options{Kernel: db, Databases: databases, Applier: databases, Engines: databases, Machines: machines, Workflows: engine, Agent: c.Twin, Computer: c}
	c.Socket = socketPath(t)
	l, err := api.Listen(c.Socket)
	must(err)
	var running sync.WaitGroup
	running.Go(func() { c.Twin.run(ctx) })
	running.Go(func() { databases.Run(ctx) })
	running.Go(func() {
		if err := l.Serve(ctx, api.New(c.options), nil); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		stopping, done := context.WithTimeout(context.Background(), Deadline)
		defer done()
		cancel()
		running.Wait()
		if err := errors.Join(engine.Stop(stopping), db.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return c
}

// socketPath is a short path: a socket's is limited.
func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "vx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// testdata is the addon of the tests, found from this file.
func testdata() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "addon", "testdata", Engine)
}

// SetReady says whether the computer says that it is ready.
func (c *Computer) SetReady(ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = ready
}

// OnShutdown is called when somebody told the computer to stop.
func (c *Computer) OnShutdown(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onStop = f
}

// Shutdowns returns how the computer was told to stop.
func (c *Computer) Shutdowns() []api.Shutdown {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Status is what the API says.
func (c *Computer) Status(context.Context) api.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	part := api.Part{Name: "kernel", State: api.PartReady}
	if !c.ready {
		part = api.Part{Name: "kernel", State: api.PartStarting, Message: "it is being opened"}
	}
	return api.Status{Ready: c.ready, Version: "test", Data: "/data", API: c.Socket, Machine: Machine, Network: "100.64.0.0/16",
		PID: os.Getpid(), StartedAt: c.began, Parts: []api.Part{part}}
}

// Shutdown is recorded; the computer goes on.
func (c *Computer) Shutdown(_ context.Context, s api.Shutdown) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, s)
	if c.onStop != nil {
		c.onStop()
	}
	return nil
}

// Doctor finds one thing of each kind.
func (c *Computer) Doctor(context.Context) ([]api.Check, error) {
	return []api.Check{{Name: "clock", State: api.CheckOK, Message: "in step"}, {Name: "disk", State: api.CheckWarn, Message: "nearly full", Try: "free some"}}, nil
}

// Twin is what an agent is to the services, without a machine.
type Twin struct {
	control *instance.Service
	roles   map[bool]string // by whether it is writable

	mu    sync.Mutex
	held  bool
	fault volvox.Code // what preparing an instance fails with
	ids   map[volvox.ID]string
	wake  chan struct{}
}

func newTwin(control *instance.Service, a *addon.Addon) *Twin {
	t := &Twin{control: control, roles: map[bool]string{}, ids: map[volvox.ID]string{}, wake: make(chan struct{}, 1)}
	for _, c := range a.Components {
		for _, r := range c.Roles {
			t.roles[r.Writable] = r.Name
		}
	}
	return t
}

// Hold lets nothing come true until Release.
func (t *Twin) Hold() { t.hold(true) }

// Fail lets preparing any instance fail with a code; empty: no more.
func (t *Twin) Fail(code volvox.Code) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = code
}

// Stop reports an instance as it is when its computer goes down.
func (t *Twin) Stop(tb testing.TB, name string) {
	t.say(tb, name, func(r *instance.Report) { r.Phase, r.Message = volvox.Stopped, "the computer is down" })
}

// Begin reports an instance as it is when it works again.
func (t *Twin) Begin(tb testing.TB, name string) {
	t.say(tb, name, func(r *instance.Report) {
		now := time.Now()
		r.Phase, r.Ready, r.Role, r.StartedAt = volvox.Running, true, t.roles[true], &now
	})
}

func (t *Twin) say(tb testing.TB, name string, change func(*instance.Report)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	i, err := t.control.Get(ctx, volvox.DefaultProject, name)
	if err != nil {
		tb.Fatal(err)
	}
	r := instance.Report{ID: i.ID, Observed: i.Generation}
	change(&r)
	if err := t.control.Report(ctx, Machine, r); err != nil {
		tb.Fatal(err)
	}
}

// Release undoes Hold.
func (t *Twin) Release() { t.hold(false) }

func (t *Twin) hold(held bool) {
	t.mu.Lock()
	t.held = held
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run makes wishes come true until ctx ends.
func (t *Twin) run(ctx context.Context) {
	changed := t.control.Changed(ctx, Machine)
	for ctx.Err() == nil {
		select {
		case <-changed:
		case <-t.wake:
		case <-ctx.Done():
			return
		}
		wishes, err := t.control.Wishes(ctx, Machine)
		if err != nil {
			continue
		}
		for _, w := range wishes {
			t.fulfil(ctx, w)
		}
	}
}

func (t *Twin) fulfil(ctx context.Context, w instance.Wish) {
	i := w.Instance
	t.mu.Lock()
	held, fault := t.held, t.fault
	t.ids[i.ID] = i.Name
	t.mu.Unlock()
	r := instance.Report{ID: i.ID, Observed: i.Generation}
	switch {
	case held:
		r.Phase, r.Message = volvox.Creating, "held by the test"
	case i.Desired == instance.Remove:
		r.Gone = true
	case i.Desired == instance.Halt && fault != "":
		r.Phase, r.Code, r.Message = volvox.Failed, fault, "planted by the test"
	case i.Desired == instance.Halt:
		r.Phase = volvox.Stopped
	default:
		r.Phase, r.Ready, r.Role = volvox.Running, true, t.roles[i.Ordinal == 0]
		started := i.CreatedAt
		r.StartedAt = &started
	}
	t.control.Report(ctx, Machine, r)
	if held || i.Desired == instance.Remove {
		return
	}
	for _, a := range w.Actions {
		exit := 0
		a.Exit = &exit
		t.control.Finish(ctx, Machine, a)
	}
}

// Logs writes a line with the instance's name and, when following, one more.
func (t *Twin) Logs(ctx context.Context, id volvox.ID, follow bool, lines int, w io.Writer) error {
	t.mu.Lock()
	name := t.ids[id]
	t.mu.Unlock()
	if name == "" {
		return volvox.Errorf(volvox.NotFound, "there is no instance %s on this machine", id)
	}
	all := []string{name + " begins", name + " works"}
	all = all[max(0, len(all)-lines):]
	for _, line := range all {
		fmt.Fprintln(w, line)
	}
	if follow {
		<-ctx.Done()
	}
	return nil
}

// Metrics are the same for all.
func (t *Twin) Metrics(_ context.Context, id volvox.ID) (agent.Metrics, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids[id] == "" || strings.HasSuffix(t.ids[id], "-1") { // one that does not run
		return agent.Metrics{}, volvox.Errorf(volvox.NotReady, "it does not run")
	}
	return agent.Metrics{CPU: 1500 * time.Millisecond, MemoryBytes: 64 << 20, MemoryLimit: 128 << 20, Pids: 3}, nil
}
