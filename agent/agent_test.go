package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// An instance's life from its wish to its end.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.wish("shop-box-0", instance.Halt, spec())
	w.reaches("shop-box-0", volvox.Stopped, false)
	if len(w.runtime.starts) > 0 {
		t.Error("a program was started although nobody wished it")
	}
	w.act(id, "init", instance.InJob, time.Minute, "note", "init")
	r := w.result("init")
	if *r.Exit != 0 || string(r.Output) != `{"noted":"init"}` || r.Log != "noted init\n" {
		t.Errorf("init ended as %d with %s, having printed %q", *r.Exit, r.Output, r.Log)
	}
	w.want(id, instance.Run, nil)
	i := w.reaches("shop-box-0", volvox.Running, true)
	if i.Role != "chief" || i.StartedAt == nil || i.Restarts != 0 || i.Code != "" || i.Message != "" {
		t.Errorf("it runs, but as %+v", i)
	}
	w.act(id, "setup", instance.InEngine, time.Minute, "note", "setup")
	w.result("setup")
	if got := w.file(id, "notes"); got != "init\nsetup\n" {
		t.Errorf("the actions left %q", got)
	}
	h, at, err := w.agent.Health(id)
	if err != nil || at.IsZero() || len(h.Position) != 1 {
		t.Errorf("its health is %+v of %v, %v", h, at, err)
	}

	w.want(id, instance.Run, func(s *instance.Spec) { s.Files[0].Content = "a=2\n" })
	w.reaches("shop-box-0", volvox.Running, true)
	if got := w.file(id, "stopped"); got != "SIGINT\n" || w.runtime.starts[string(id)] != 2 {
		t.Errorf("for a new spec the program was stopped %q and started %d times", got, w.runtime.starts[string(id)])
	}
	if b, err := os.ReadFile(filepath.Join(w.run, "instances", string(id), "config/box.conf")); err != nil || string(b) != "a=2\n" {
		t.Errorf("its file is %q, %v", b, err)
	}

	w.want(id, instance.Halt, nil)
	if i := w.reaches("shop-box-0", volvox.Stopped, false); i.Role != "" || i.StartedAt != nil || i.Restarts != 0 {
		t.Errorf("it is stopped, but as %+v", i)
	}
	w.want(id, instance.Run, nil)
	w.reaches("shop-box-0", volvox.Running, true)
	w.want(id, instance.Remove, nil)
	w.disappears("shop-box-0")
	w.nothingLeft()
	if len(w.control.machines) != 1 || w.control.machines[0].MemoryBytes <= 0 || w.control.machines[0].DiskBytes <= 0 || w.control.machines[0].Range == "" {
		t.Errorf("the machine was registered as %+v", w.control.machines)
	}
}

// What a container gets to see, and who may read it.
func TestContainer(t *testing.T) {
	w := newWorld(t)
	w.start()
	s := spec()
	s.Volumes = append(s.Volumes, instance.Mount{Name: "log", Path: "/data/log"})
	id := w.wish("shop-box-0", instance.Run, s)
	w.reaches("shop-box-0", volvox.Running, true)
	box := w.runtime.boxes[string(id)]
	if box.UID != 5001 || box.NetNS != "/netns/"+string(id) || environ(box.Env)["A"] != "1" || environ(box.Env)["PATH"] == "" {
		t.Errorf("the container is %+v", box.Container)
	}
	var targets []string
	for _, b := range box.Binds {
		targets = append(targets, b.Target)
		if b.ReadOnly != strings.Contains("/config /scripts /secrets", b.Target) {
			t.Errorf("%s is read-only: %v", b.Target, b.ReadOnly)
		}
	}
	if got := strings.Join(targets, " "); got != "/config /scripts /secrets /tmp /run /data /data/log" {
		t.Errorf("it sees %s", got)
	}
	dir := filepath.Join(w.run, "instances", string(id))
	for path, want := range map[string]string{
		dir:                                  "drwx------ 0",
		dir + "/config/box.conf":             "-r--r--r-- 0",
		dir + "/scripts/go":                  "-r-xr-xr-x 0",
		dir + "/secrets":                     "dr-x------ 5001",
		dir + "/secrets/admin":               "-r-------- 5001",
		dir + "/run":                         "drwx------ 5001",
		box.main.path("/data"):               "drwx------ 5001",
		box.main.path("/data/log"):           "drwx------ 5001",
		filepath.Dir(box.main.path("/data")): "drwx------ 0",
	} {
		s, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.Mode().String() + map[uint32]string{0: " 0", 5001: " 5001"}[s.Sys().(*syscall.Stat_t).Uid]; got != want {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	if b, err := os.ReadFile(dir + "/secrets/admin"); err != nil || string(b) != "value of shop/admin" {
		t.Errorf("the secret is %q, %v", b, err)
	}
	if on, err := onTmpfs(dir); !on || err != nil {
		t.Errorf("secrets are on tmpfs: %v, %v", on, err)
	}
}

// Where the run directory is on no tmpfs the agent makes one.
func TestTmpfs(t *testing.T) {
	w := newWorld(t)
	run, err := os.MkdirTemp("/var/tmp", "volvox-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	if on, _ := onTmpfs(run); on {
		t.Skip("the directory for tests is on a tmpfs")
	}
	w.options.Run, w.run = run, run
	dir := directories{data: w.data, run: run}
	t.Cleanup(func() {
		w.stop()
		dir.unmount()
	})
	for range 2 {
		w.start()
		id := w.wish("shop-box-0", instance.Halt, spec())
		w.reaches("shop-box-0", volvox.Stopped, false)
		if on, err := onTmpfs(w.agent.runDir(id)); !on || err != nil {
			t.Errorf("on a tmpfs: %v, %v", on, err)
		}
		if err := w.agent.Clear(t.Context()); err != nil {
			t.Error(err)
		}
		if on, err := onTmpfs(dir.instances()); on || err != nil {
			t.Errorf("after Clear, on a tmpfs: %v, %v", on, err)
		}
		w.stop()
		w.control.change(func() { clear(w.control.rows) })
	}
	w.nothingLeft()
}

// An agent that comes and goes leaves running programs alone.
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.wish("shop-box-0", instance.Run, spec())
	before := w.reaches("shop-box-0", volvox.Running, true)
	w.stop()
	w.start()
	<-w.agent.Ready()
	w.act(id, "a", instance.InEngine, time.Minute, "note", "a")
	w.result("a")
	after := w.reaches("shop-box-0", volvox.Running, true)
	if w.runtime.starts[string(id)] != 1 || !before.StartedAt.Equal(*after.StartedAt) || after.Restarts != 0 {
		t.Errorf("it was started %d times; before %+v, after %+v", w.runtime.starts[string(id)], before, after)
	}
	// It ends while no agent looks.
	w.stop()
	w.runtime.crash(string(id), false)
	w.start()
	w.control.await(t, "it was restarted", func(rows map[string]instance.Instance) bool {
		return rows["shop-box-0"].Restarts == 1 && rows["shop-box-0"].Ready
	})
	// The machine was rebooted: containers and tmpfs are gone.
	w.stop()
	w.runtime.Remove(t.Context(), string(id))
	w.network.Detach(t.Context(), string(id))
	if err := os.RemoveAll(filepath.Join(w.run, "instances")); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.control.await(t, "it runs after the reboot", func(rows map[string]instance.Instance) bool {
		return w.running(id) && rows["shop-box-0"].Ready
	})
	eventually(t, "its volume does not say that it was started 3 times", func() string {
		if got := w.file(id, "served"); strings.Count(got, "\n") != 3 {
			return got + "."
		}
		return ""
	})
}

func (w *world) running(id volvox.ID) bool {
	w.runtime.mu.Lock()
	defer w.runtime.mu.Unlock()
	b := w.runtime.boxes[string(id)]
	return b != nil && b.status.State == Up
}

// What nobody wishes is removed, but only once the wishes were read.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	w.start()
	a, b := w.wish("a", instance.Run, spec()), w.wish("b", instance.Run, spec())
	w.reaches("a", volvox.Running, true)
	w.reaches("b", volvox.Running, true)
	w.stop()
	w.control.change(func() {
		delete(w.control.rows, a)
		w.control.away = volvox.Errorf(volvox.Unavailable, "nobody answers")
	})
	w.network.attached["left"] = "100.64.9.9"
	for _, dir := range []string{"volumes/other/data", "volumes/.trash-old-1/data"} {
		if err := os.MkdirAll(filepath.Join(w.data, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.data, "actions/0123.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	eventually(t, "the control was not asked", func() string {
		w.control.mu.Lock()
		defer w.control.mu.Unlock()
		if len(w.control.machines) > 2 {
			return ""
		}
		return "too seldom"
	})
	if !w.running(a) || w.file(a, "served") == "" {
		t.Error("something was removed before the wishes were read")
	}
	w.control.change(func() { w.control.away = nil })
	<-w.agent.Ready()
	eventually(t, "orphans are left", func() string {
		w.network.mu.Lock()
		defer w.network.mu.Unlock()
		left := strings.Join(w.files(), " ")
		for _, id := range []string{string(a), "other", ".trash", "0123", "left"} {
			if strings.Contains(left, "/"+id) || w.network.attached[id] != "" || w.running(volvox.ID(id)) {
				return id
			}
		}
		return ""
	})
	if !w.running(b) || w.runtime.starts[string(b)] != 1 {
		t.Error("what is wished was touched")
	}
	// A row that goes without having been wished away.
	w.control.change(func() { delete(w.control.rows, b) })
	w.disappears("b")
	eventually(t, "b is left", func() string {
		return strings.Join(slices.DeleteFunc(w.files(), func(p string) bool { return strings.Contains(p, orphan) }), " ")
	})
	for _, id := range []volvox.ID{a, b} {
		if kept := w.orphans(id); len(kept) != 1 || !exists(filepath.Join(kept[0], "data/served")) {
			t.Errorf("of the volumes of %s, which nobody wished away, there are %v", id, kept)
		}
	}
	if err := w.agent.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft()
}

// orphans are the directories in which the volumes of an instance are kept
// that no row names.
func (w *world) orphans(id volvox.ID) []string {
	found, err := filepath.Glob(filepath.Join(w.data, "volumes", orphan+"*-"+string(id)))
	if err != nil {
		w.t.Error(err)
	}
	return found
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Volumes that no row names are deleted after a week, also by an agent that
// has run that long, and the space they take is not counted as free.
func TestOrphansAreKeptAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := os.MkdirAll(filepath.Join(w.data, "volumes/lost/data"), 0o700); err != nil {
			t.Fatal(err)
		}
		w.start()
		eventually(t, "they are not put aside", func() string {
			if len(w.orphans("lost")) == 1 {
				return ""
			}
			return strings.Join(w.files(), " ")
		})
		<-time.After(keepOrphans - time.Hour) // on the test's clock
		synctest.Wait()
		if len(w.orphans("lost")) != 1 {
			t.Error("they were deleted too early")
		}
		w.stop()
		w.start()
		<-time.After(2 * time.Hour) // on the test's clock
		synctest.Wait()
		w.stop()
		w.nothingLeft()
	})
}

// The space for volumes is that of their disk, with what they take and
// without what orphans take.
func TestSpace(t *testing.T) {
	disk := t.TempDir() // one of its own, which nobody else fills
	if err := unix.Mount("volvox", disk, "tmpfs", 0, "size=2g"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	d := directories{data: t.TempDir()}
	if err := os.Symlink(disk, d.volumes()); err != nil {
		t.Fatal(err)
	}
	const all = 1 << 30
	for _, c := range []struct {
		file string
		want int64
	}{{"a/data/file", all}, {orphan + "x/data/file", all - 8<<20}, {"b/data/" + orphan, all - 8<<20}} {
		path := filepath.Join(d.volumes(), c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := d.space(); err != nil || got > c.want || got < c.want-1<<20 {
			t.Errorf("with %s there is room for %d bytes, %v; want %d", c.file, got, err, c.want)
		}
	}
}

// Going down stops programs whatever is wished, and up starts them again.
func TestHaltAndClear(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.wish("a", instance.Run, spec())
	w.wish("b", instance.Halt, spec())
	w.reaches("a", volvox.Running, true)
	if err := w.agent.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.reaches("a", volvox.Stopped, false)
	if got := w.file(id, "stopped"); got != "SIGINT\n" {
		t.Errorf("it was stopped by %q", got)
	}
	w.stop()
	w.start()
	w.control.await(t, "a runs again", func(rows map[string]instance.Instance) bool { return rows["a"].Ready })
	if err := w.agent.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft()
	if len(w.control.rows) != 2 {
		t.Error("rows went although nobody wished it")
	}
}
