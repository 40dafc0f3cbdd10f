package instance_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ agent.Control = (*instance.Service)(nil)

// kernel is a kernel with one machine and its instances.
type kernel struct {
	*testing.T
	db      *store.DB
	secrets *secret.Service
	*instance.Service
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k := &kernel{T: t, db: db}
	k.must(db.Migrate(ctx, secret.Schema(), telemetry.Schema(), machine.Schema(), instance.Schema()))
	k.secrets, err = secret.Open(ctx, db, filepath.Join(dir, "key"))
	k.must(err)
	k.Service = instance.New(db, machine.New(db), k.secrets)
	k.must(k.Register(ctx, machine.Machine{Name: "one", Range: "100.64.0.0/29"}))
	return k
}

func (k *kernel) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("%v (%s)", err, volvox.CodeOf(err))
	}
}

func (k *kernel) fails(err error, c volvox.Code) {
	k.Helper()
	if volvox.CodeOf(err) != c {
		k.Errorf("the error is %v (%s), not %s", err, volvox.CodeOf(err), c)
	}
}

func (k *kernel) update(f func(tx *store.Tx) error) error {
	return k.db.Update(context.Background(), f)
}

func box() instance.Spec {
	return instance.Spec{Image: "deb:box", Command: []string{"serve"}, Secrets: []string{"shop/admin"},
		Volumes: []instance.Mount{{Name: "data", Path: "/data", Bytes: 1 << 30}},
		Limits:  instance.Limits{CPUMillis: 500, MemoryBytes: 256 << 20}}
}

func (k *kernel) create(name string) (i instance.Instance, err error) {
	err = k.update(func(tx *store.Tx) error {
		i, err = instance.Create(tx, instance.Instance{Name: name, Cluster: "shop", Component: "box"}, box(),
			instance.Placement{Machine: "one", Range: "100.64.0.0/29", Reason: "it is the only one"})
		return err
	})
	return i, err
}

func (k *kernel) desire(name string, d instance.Desired) {
	k.Helper()
	k.must(k.update(func(tx *store.Tx) error { return instance.SetDesired(tx, "main", name, d) }))
}

func (k *kernel) get(name string) instance.Instance {
	k.Helper()
	i, err := k.Get(k.Context(), "main", name)
	k.must(err)
	return i
}

// count is the number of rows of a table.
func (k *kernel) count(table string) (n int64) {
	k.Helper()
	k.must(k.db.View(k.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One[int64](tx, `SELECT COUNT(*) FROM `+table)
		return err
	}))
	return n
}

func TestCreate(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	if a.Address != "100.64.0.2" || a.Generation != 1 || a.Phase != volvox.Pending || a.Desired != instance.Halt || a.Project != "main" {
		t.Errorf("made: %+v", a)
	}
	if got := k.get("shop-box-0"); !got.CreatedAt.Equal(a.CreatedAt) {
		t.Errorf("kept: %+v, made: %+v", got, a)
	} else if got.CreatedAt = a.CreatedAt; got != a {
		t.Errorf("kept: %+v, made: %+v", got, a)
	}
	_, err = k.create("shop-box-0")
	k.fails(err, volvox.Exists)
	for _, want := range []string{"100.64.0.3", "100.64.0.4", "100.64.0.5", "100.64.0.6"} {
		i, err := k.create("shop-box-" + want[9:])
		k.must(err)
		if i.Address != want {
			t.Errorf("the address is %s, not %s", i.Address, want)
		}
	}
	_, err = k.create("shop-box-9")
	k.fails(err, volvox.NoAddress)
	// An address is free again when its instance is gone, and not before.
	b := k.get("shop-box-4")
	k.desire(b.Name, instance.Remove)
	_, err = k.create("shop-box-9")
	k.fails(err, volvox.NoAddress)
	k.must(k.Report(t.Context(), "one", instance.Report{ID: b.ID, Gone: true}))
	c, err := k.create("shop-box-9")
	k.must(err)
	if c.Address != b.Address || c.ID == b.ID {
		t.Errorf("the new one is %+v", c)
	}
	for table, want := range map[string]int64{"instances": 5, "instance_specs": 5, "volumes": 5, "placements": 5} {
		if n := k.count(table); n != want {
			t.Errorf("%s has %d rows, not %d", table, n, want)
		}
	}
	k.must(k.db.View(t.Context(), func(tx *store.Tx) error {
		r, err := instance.Reserved(tx)
		if err == nil && (len(r) != 1 || r[0] != instance.Reservation{Machine: "one", Instances: 5, CPUMillis: 2500, MemoryBytes: 5 * 256 << 20, StorageBytes: 5 << 30}) {
			t.Errorf("reserved: %+v", r)
		}
		return err
	}))
}

func TestWishes(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	k.desire(a.Name, instance.Halt) // as it is
	k.desire(a.Name, instance.Run)
	set := func(change func(s *instance.Spec)) error {
		return k.update(func(tx *store.Tx) error {
			s, err := instance.SpecOf(tx, "main", a.Name)
			if err != nil {
				return err
			}
			change(&s)
			return instance.SetSpec(tx, "main", a.Name, s)
		})
	}
	k.must(set(func(*instance.Spec) {})) // as it is
	k.must(set(func(s *instance.Spec) {
		s.Limits.MemoryBytes = 1 << 30
		s.Volumes = append(s.Volumes, instance.Mount{Name: "log", Path: "/data/log", Bytes: 1 << 20})
	}))
	if g := k.get(a.Name).Generation; g != 3 {
		t.Errorf("after two changes the generation is %d", g)
	}
	k.fails(set(func(s *instance.Spec) { s.Volumes = s.Volumes[:1] }), volvox.Unsupported)
	if n := k.count("volumes"); n != 2 {
		t.Errorf("there are %d volumes", n)
	}
	ws, err := k.Wishes(t.Context(), "one")
	k.must(err)
	if len(ws) != 1 || ws[0].Instance.ID != a.ID || ws[0].Spec.Limits.MemoryBytes != 1<<30 || len(ws[0].Spec.Volumes) != 2 {
		t.Errorf("wishes: %+v", ws)
	}
	if ws, err := k.Wishes(t.Context(), "other"); err != nil || len(ws) > 0 {
		t.Errorf("another machine has %v, %v", ws, err)
	}
	k.must(k.update(func(tx *store.Tx) error { return instance.Delete(tx, "main", a.Name) }))
	k.must(k.update(func(tx *store.Tx) error { return instance.Delete(tx, "main", a.Name) }))
	k.must(k.update(func(tx *store.Tx) error { return instance.Delete(tx, "main", "nobody") }))
	k.fails(k.update(func(tx *store.Tx) error { return instance.SetDesired(tx, "main", a.Name, instance.Run) }), volvox.Busy)
	k.fails(set(func(s *instance.Spec) { s.Image = "deb:other" }), volvox.Busy)
	_, err = k.Get(t.Context(), "main", "nobody")
	k.fails(err, volvox.NotFound)
}

func TestReports(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	seven, now := 7, time.Now().Truncate(time.Microsecond)
	r := instance.Report{ID: a.ID, Observed: 1, Phase: volvox.Running, Role: "chief", Ready: true, Restarts: 2, ExitCode: &seven,
		Code: volvox.Crashed, Message: "it ended", StartedAt: &now}
	transactions := k.count("transactions")
	for range 3 {
		k.must(k.Report(t.Context(), "one", r))
	}
	if n := k.count("transactions") - transactions; n != 1 {
		t.Errorf("the same thrice was written in %d transactions", n)
	}
	i := k.get(a.Name)
	if i.Phase != r.Phase || i.Observed != 1 || i.Role != r.Role || !i.Ready || i.Restarts != 2 || *i.ExitCode != 7 || i.Code != r.Code ||
		i.Message != r.Message || !i.StartedAt.Equal(now) || i.Generation != 1 || i.Desired != instance.Halt {
		t.Errorf("there is %+v", i)
	}
	r.Event = "something happened"
	r.Phase, r.Ready = volvox.Failed, false
	k.must(k.Report(t.Context(), "one", r))
	k.must(k.Report(t.Context(), "one", instance.Report{ID: "nobody", Phase: volvox.Running}))
	k.must(k.Report(t.Context(), "other", instance.Report{ID: a.ID, Phase: volvox.Running}))
	k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Gone: true})) // nobody wishes that
	if got := k.get(a.Name).Phase; got != volvox.Failed {
		t.Errorf("the phase is %s", got)
	}
	k.must(k.db.View(t.Context(), func(tx *store.Tx) error {
		all, err := telemetry.List(tx, "main", "instance", a.Name, 0)
		var said []string
		for _, e := range all {
			said = append(said, e.Level+" "+e.Message)
		}
		if got := strings.Join(said, "\n"); got != "warning is Running: it ended\nerror something happened" {
			t.Errorf("events: %s", got)
		}
		return err
	}))
	k.desire(a.Name, instance.Remove)
	_, err = k.StartAction(t.Context(), action("late"))
	k.fails(err, volvox.Busy)
	k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Gone: true}))
	for _, table := range []string{"instances", "instance_specs", "volumes", "placements", "actions"} {
		if n := k.count(table); n != 0 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
}

func action(id string) instance.Action {
	return instance.Action{ID: id, Instance: "shop-box-0", Name: "init", Place: instance.InJob, Command: []string{"/scripts/init"}, TimeoutMS: 1000}
}

func TestActions(t *testing.T) {
	k := newKernel(t)
	_, err := k.StartAction(t.Context(), action("a"))
	k.fails(err, volvox.NotFound)
	i, err := k.create("shop-box-0")
	k.must(err)
	bad := action("bad")
	bad.Place = "nowhere"
	_, err = k.StartAction(t.Context(), bad)
	k.fails(err, volvox.BadInput)
	first, err := k.StartAction(t.Context(), action("a"))
	k.must(err)
	again := action("a")
	again.Name = "other"
	second, err := k.StartAction(t.Context(), again)
	k.must(err)
	if second.Name != "init" || !second.CreatedAt.Equal(first.CreatedAt) || second.InstanceID != i.ID || second.Machine != "one" {
		t.Errorf("first %+v, again %+v", first, second)
	}
	_, err = k.StartAction(t.Context(), action("b"))
	k.must(err)
	ws, err := k.Wishes(t.Context(), "one")
	k.must(err)
	if len(ws) != 1 || len(ws[0].Actions) != 2 || ws[0].Actions[0].ID != "a" {
		t.Errorf("wishes: %+v", ws)
	}
	done := make(chan instance.Action, 1)
	go func() {
		a, err := k.WaitAction(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	result := first
	exit := 40
	result.Exit, result.Output = &exit, []byte(`{"n":1}`)
	result.Log = strings.Repeat("é", 4096) + "\xff\x00no\n"
	k.fails(k.Finish(t.Context(), "other", result), volvox.Denied)
	k.must(k.Finish(t.Context(), "one", result))
	zero := 0
	result.Exit = &zero
	k.must(k.Finish(t.Context(), "one", result))
	got := <-done
	if got.Status != instance.Done || *got.Exit != 40 || string(got.Output) != `{"n":1}` || len(got.Log) > 4096 || !strings.HasSuffix(got.Log, "é?no\n") || got.EndedAt == nil {
		t.Errorf("the result is %+v", got)
	}
	k.fails(got.Err(), volvox.ActionRefused)
	if ws, err = k.Wishes(t.Context(), "one"); err != nil || len(ws[0].Actions) != 1 {
		t.Errorf("wishes: %+v, %v", ws, err)
	}
	// One that goes with its instance does not keep anybody waiting.
	gone := make(chan error, 1)
	go func() {
		_, err := k.WaitAction(t.Context(), "b")
		gone <- err
	}()
	k.desire("shop-box-0", instance.Remove)
	k.must(k.Report(t.Context(), "one", instance.Report{ID: i.ID, Gone: true}))
	k.fails(<-gone, volvox.NotFound)
	k.must(k.Finish(t.Context(), "one", result)) // it is not there
}

func TestWaitInstances(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	waited := make(chan []instance.Instance, 1)
	go func() {
		is, err := k.WaitInstances(t.Context(), instance.Filter{Project: "main", Cluster: "shop"}, func(is []instance.Instance) (bool, error) {
			return len(is) > 0 && is[0].Ready, nil
		})
		if err != nil {
			t.Error(err)
		}
		waited <- is
	}()
	k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Observed: 1, Phase: volvox.Running}))
	k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Observed: 1, Phase: volvox.Running, Ready: true}))
	if is := <-waited; len(is) != 1 || !is[0].Ready {
		t.Errorf("waited for %+v", is)
	}
	_, err = k.WaitInstances(t.Context(), instance.Filter{}, func([]instance.Instance) (bool, error) {
		return false, volvox.Errorf(volvox.Crashed, "it failed")
	})
	k.fails(err, volvox.Crashed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = k.WaitInstances(ctx, instance.Filter{}, func([]instance.Instance) (bool, error) { return false, nil })
	k.fails(err, volvox.Cancelled)
}

// An agent is woken by wishes and not by its own reports.
func TestChanged(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	wake := k.Changed(ctx, "one")
	other := k.Changed(ctx, "other")
	<-wake
	<-other
	k.desire(a.Name, instance.Run)
	<-wake
	for n := range 20 {
		k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Observed: int64(n), Phase: volvox.Running}))
	}
	_, err = k.StartAction(t.Context(), action("a"))
	k.must(err)
	<-wake
	exit := 0
	k.must(k.Finish(t.Context(), "one", instance.Action{ID: "a", Exit: &exit}))
	k.desire(a.Name, instance.Remove)
	<-wake
	k.must(k.Report(t.Context(), "one", instance.Report{ID: a.ID, Gone: true}))
	<-wake
	select {
	case <-other:
		t.Error("another machine was woken")
	default:
	}
	cancel()
	woken := 0
	for range wake {
		woken++
	}
	if woken > 0 {
		t.Errorf("it was woken %d times by nothing", woken)
	}
	for range other {
	}
}

func TestSecret(t *testing.T) {
	k := newKernel(t)
	a, err := k.create("shop-box-0")
	k.must(err)
	k.must(k.update(func(tx *store.Tx) error {
		if err := k.secrets.Put(tx, "main", "shop/other", "hidden"); err != nil {
			return err
		}
		return k.secrets.Put(tx, "main", "shop/admin", "opened")
	}))
	if v, err := k.Secret(t.Context(), "one", a.ID, "shop/admin"); err != nil || v != "opened" {
		t.Errorf("%q, %v", v, err)
	}
	for _, c := range []struct {
		machine string
		id      volvox.ID
		name    string
	}{{"two", a.ID, "shop/admin"}, {"one", "nobody", "shop/admin"}, {"one", a.ID, "shop/other"}} {
		_, err := k.Secret(t.Context(), c.machine, c.id, c.name)
		k.fails(err, volvox.Denied)
	}
}
