package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// twinControl keeps wishes and facts in memory, as the computer does in its
// kernel. The tests with the real one are in real_test.go.
type twinControl struct {
	mu       sync.Mutex
	rows     map[volvox.ID]*instance.Wish
	results  map[string]instance.Action
	events   []string
	images   map[string]bool
	machines []machine.Machine
	reports  int
	away     error
	changed  chan struct{} // of wishes
	moved    chan struct{} // of anything; closed and made anew
}

func newTwinControl() *twinControl {
	return &twinControl{rows: map[volvox.ID]*instance.Wish{}, results: map[string]instance.Action{}, images: map[string]bool{},
		changed: make(chan struct{}, 1), moved: make(chan struct{})}
}

// change runs f and wakes those who wait.
func (c *twinControl) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.moved)
	c.moved = make(chan struct{})
	notify(c.changed)
}

// await waits until ok says so of the rows by name; ok is called locked.
func (c *twinControl) await(t testing.TB, what string, ok func(rows map[string]instance.Instance) bool) {
	t.Helper()
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		c.mu.Lock()
		rows := map[string]instance.Instance{}
		for _, w := range c.rows {
			rows[w.Instance.Name] = w.Instance
		}
		moved := c.moved
		done := ok(rows)
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-moved:
		case <-limit.C:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("it never came to: %s; there is %+v, events %q", what, rows, c.events)
		}
	}
}

func (c *twinControl) Register(ctx context.Context, m machine.Machine) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines = append(c.machines, m)
	return errors.Join(ctx.Err(), c.away)
}

func (c *twinControl) Wishes(ctx context.Context, _ string) (out []instance.Wish, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.rows {
		copied := *w
		copied.Actions = slices.Clone(w.Actions)
		out = append(out, copied)
	}
	return out, errors.Join(ctx.Err(), c.away)
}

func (c *twinControl) Changed(ctx context.Context, _ string) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for {
			select {
			case <-c.changed:
				notify(out)
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (c *twinControl) Report(ctx context.Context, _ string, r instance.Report) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(ctx.Err(), c.away); err != nil {
		return err
	}
	c.reports++
	w := c.rows[r.ID]
	switch {
	case w == nil:
		return nil
	case r.Gone && w.Instance.Desired != instance.Remove:
		return nil
	case r.Gone:
		delete(c.rows, r.ID)
		notify(c.changed)
	default:
		i := &w.Instance
		i.Observed, i.Phase, i.Role, i.Ready, i.Restarts = r.Observed, r.Phase, r.Role, r.Ready, r.Restarts
		i.ExitCode, i.Code, i.Message, i.StartedAt = r.ExitCode, r.Code, r.Message, r.StartedAt
	}
	if r.Event != "" {
		c.events = append(c.events, r.Event)
	}
	close(c.moved)
	c.moved = make(chan struct{})
	return nil
}

func (c *twinControl) Finish(ctx context.Context, _ string, a instance.Action) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errors.Join(ctx.Err(), c.away); err != nil {
		return err
	}
	if _, done := c.results[a.ID]; !done {
		c.results[a.ID] = a
	}
	for _, w := range c.rows {
		w.Actions = slices.DeleteFunc(w.Actions, func(p instance.Action) bool { return p.ID == a.ID })
	}
	close(c.moved)
	c.moved = make(chan struct{})
	return nil
}

func (c *twinControl) Secret(ctx context.Context, _ string, id volvox.ID, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "value of " + name, errors.Join(ctx.Err(), c.away)
}

// told is how many reports came.
func (c *twinControl) told() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reports
}

func (c *twinControl) has(image string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images[image]
}

func (c *twinControl) ReportImage(ctx context.Context, _ string, i machine.Image) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images[i.Ref] = !i.Gone
	return errors.Join(ctx.Err(), c.away)
}

// world is a machine of twins on which agents come and go.
type world struct {
	t       testing.TB
	control *twinControl
	runtime *twinRuntime
	network *twinNetwork
	images  *twinImages
	data    string // its directories
	run     string
	options Options
	agent   *Agent
}

func newWorld(t testing.TB) *world {
	run, err := os.MkdirTemp("/dev/shm", "volvox-agent-") // fsync costs nothing there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	w := &world{t: t, control: newTwinControl(), runtime: newTwinRuntime(),
		network: &twinNetwork{attached: map[string]string{}},
		images:  &twinImages{dir: t.TempDir(), have: map[string]bool{}}}
	w.data, w.run = filepath.Join(run, "data"), filepath.Join(run, "run")
	w.options = Options{Machine: machine.Machine{Name: "one", Range: "100.64.0.0/16"}, Control: w.control, Runtime: w.runtime,
		Network: w.network, Images: w.images, Data: w.data, Run: w.run}
	if testing.Verbose() && os.Getenv("VOLVOX_TEST_LOG") != "" {
		w.options.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	t.Cleanup(func() {
		w.stop()
		for id := range maps.Clone(w.runtime.boxes) {
			w.runtime.Remove(context.Background(), id)
		}
		for _, wrong := range w.runtime.overlap {
			t.Error(wrong)
		}
	})
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.agent = New(w.options)
	if err := w.agent.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	w.t.Helper()
	if w.agent == nil {
		return
	}
	if err := w.agent.Stop(context.Background()); err != nil {
		w.t.Error(err)
	}
	w.agent = nil
}

// spec is an instance whose program runs until it is stopped.
func spec() instance.Spec {
	return instance.Spec{
		Image: "deb:box", Command: []string{"serve"}, Env: map[string]string{"A": "1"},
		Files:   []instance.File{{Path: "/config/box.conf", Mode: 0o444, Content: "a=1\n"}, {Path: "/scripts/go", Mode: 0o555, Content: "#!/bin/sh\n"}},
		Secrets: []string{"shop/admin"},
		Volumes: []instance.Mount{{Name: "data", Path: "/data", Bytes: 1 << 20}},
		Stop:    instance.Stop{Signal: "SIGINT", GraceSeconds: 5},
		Probe:   &instance.Probe{Command: []string{"probe"}},
	}
}

// wish adds an instance and returns its ID.
func (w *world) wish(name string, d instance.Desired, s instance.Spec) volvox.ID {
	id := volvox.NewID()
	w.control.change(func() {
		w.control.rows[id] = &instance.Wish{Spec: s, Instance: instance.Instance{Project: "main", Name: name, ID: id, Machine: "one",
			Address: fmt.Sprintf("100.64.0.%d", 2+len(w.control.rows)), Desired: d, Generation: 1, Phase: volvox.Pending}}
	})
	return id
}

// want changes what is wished of an instance.
func (w *world) want(id volvox.ID, d instance.Desired, change func(s *instance.Spec)) {
	w.control.change(func() {
		r := w.control.rows[id]
		r.Instance.Desired = d
		r.Instance.Generation++
		if change != nil {
			r.Spec.Files = slices.Clone(r.Spec.Files) // agents hold the old one
			if r.Spec.Probe != nil {
				p := *r.Spec.Probe
				r.Spec.Probe = &p
			}
			change(&r.Spec)
		}
	})
}

func (w *world) act(id volvox.ID, action, place string, limit time.Duration, command ...string) {
	w.control.change(func() {
		r := w.control.rows[id]
		r.Actions = append(r.Actions, instance.Action{ID: action, Project: "main", Instance: r.Instance.Name, InstanceID: id, Name: action,
			Place: place, Command: command, Env: map[string]string{"DB_NAME": "shop"}, Context: []byte(`{"n":1}`), TimeoutMS: limit.Milliseconds()})
	})
}

// result waits for the result of an action.
func (w *world) result(action string) (a instance.Action) {
	w.t.Helper()
	w.control.await(w.t, action+" ends", func(map[string]instance.Instance) (ok bool) {
		a, ok = w.control.results[action]
		return ok
	})
	return a
}

// reaches waits until an instance is in the phase for its present wish.
func (w *world) reaches(name string, p volvox.Phase, ready bool) instance.Instance {
	w.t.Helper()
	var got instance.Instance
	w.control.await(w.t, fmt.Sprintf("%s is %s (ready %v)", name, p, ready), func(rows map[string]instance.Instance) bool {
		got = rows[name]
		return got.Phase == p && got.Ready == ready && got.Observed == got.Generation
	})
	return got
}

func (w *world) disappears(name string) {
	w.t.Helper()
	w.control.await(w.t, name+" is gone", func(rows map[string]instance.Instance) bool {
		_, there := rows[name]
		return !there
	})
}

// nothingLeft fails if anything of any instance is left on the machine.
func (w *world) nothingLeft() {
	w.t.Helper()
	if left, _ := w.runtime.List(context.Background()); len(left) > 0 {
		w.t.Errorf("containers are left: %+v", left)
	}
	if left, _ := w.network.List(context.Background()); len(left) > 0 {
		w.t.Errorf("networks are left: %v", left)
	}
	eventually(w.t, "files are left", func() string { return strings.Join(w.files(), " ") })
}

func (w *world) files() (left []string) {
	for _, dir := range []string{w.data, w.run} {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if rel, _ := filepath.Rel(dir, p); err == nil && rel != "." && !slices.Contains([]string{"volumes", "logs", "actions", "instances"}, rel) {
				left = append(left, p)
			}
			return nil
		})
	}
	return left
}

// eventually waits until wrong returns nothing.
func eventually(t testing.TB, what string, wrong func() string) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		w := wrong()
		if w == "" {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%s: %s", what, w)
		}
	}
}

// file is a file of an instance's volume, "" if it is not there.
func (w *world) file(id volvox.ID, file string) string {
	b, err := os.ReadFile(filepath.Join(w.data, "volumes", string(id), "data", file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
	return string(b)
}
