package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/runtimetest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv(fakeEnv) != "" {
		fake()
	}
	os.Exit(runtimetest.Main(m, suite))
}

func TestRuntime(t *testing.T) {
	t.Parallel()
	runtimetest.Run(t, suite)
}

var suite = runtimetest.Suite{
	Dir:    newDir,
	Open:   func(ctx context.Context, dir string) (agent.Runtime, error) { return Open(ctx, options(dir)) },
	Purge:  func(ctx context.Context, r agent.Runtime) error { return r.(*Runtime).Purge(ctx) },
	Traces: traces,
	Daemon: func(t testing.TB, dir string) int {
		pids := daemons(dir)
		if len(pids) != 1 {
			t.Fatalf("%d containerds: %v", len(pids), pids)
		}
		return pids[0]
	},
	Plant: map[string]func(t *testing.T, dir string, r agent.Runtime, id string){
		"a record":                        plantRecord,
		"a task that never began":         plantTask,
		"a task that never began, killed": plantKilledTask,
		"a bundle":                        plantBundle,
		"a control group":                 plantGroup,
		"processes in a group":            plantProcess,
		"a shim nobody knows":             plantShim,
		"runc's state and a group":        plantRuncState,
	},
}

// newDir is on tmpfs, and short, as a run directory is.
func newDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/run", "vxt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func options(dir string) Options {
	sum := sha256.Sum256([]byte(dir))
	level := slog.LevelError
	if os.Getenv("VOLVOX_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return Options{Root: filepath.Join(dir, "root"), Run: dir, Computer: hex.EncodeToString(sum[:3]),
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
}

// open opens the runtime of a new directory for one test.
func open(t *testing.T, change ...func(*Options)) (*Runtime, string) {
	t.Helper()
	dir := newDir(t)
	return reopen(t, dir, change...), dir
}

func reopen(t *testing.T, dir string, change ...func(*Options)) *Runtime {
	t.Helper()
	opt := options(dir)
	for _, c := range change {
		c(&opt)
	}
	r, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.ctx.Err() != nil {
			return // closed by the test
		}
		if err := r.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if left := traces(t, dir); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	return r
}

// daemons returns the containerds of a directory.
func daemons(dir string) []int {
	d := newDaemon(options(dir), "")
	all := findProcesses(d.is)
	return slices.DeleteFunc(slices.Clone(all), func(pid int) bool {
		s, ok := readStat(pid)
		return !ok || slices.Contains(all, s.parent)
	})
}

// traces lists processes, mounts, control groups and files.
func traces(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	for _, pid := range findProcesses(func(args []string) bool { return strings.Contains(strings.Join(args, " "), dir) }) {
		all = append(all, fmt.Sprintf("process %d: %v", pid, readArgs(pid)))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			all = append(all, "mount "+strings.TrimSpace(line))
		}
	}
	groups, err := findCgroups("/proc/self/mountinfo", "volvox-"+options(dir).Computer)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range groups.mounts {
		if _, err := os.Stat(filepath.Join(at, groups.parent)); err == nil {
			all = append(all, "control group "+filepath.Join(at, groups.parent))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "log" { // a container's, made by a test
			all = append(all, "file "+e.Name())
		}
	}
	return all
}

func container(t *testing.T, r *Runtime, id, script string) agent.Container {
	return agent.Container{ID: id, Rootfs: filepath.Join(r.opt.Run, "no rootfs"), UID: runtimetest.UID, Command: []string{"/bin/sh", "-c", script}}
}

// connected returns the present connection.
func connected(t *testing.T, r *Runtime) *link {
	t.Helper()
	l, err := r.daemon.await(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func plantRecord(t *testing.T, dir string, a agent.Runtime, id string) {
	r := a.(*Runtime)
	c := container(t, r, id, "sleep 1000")
	c.Rootfs = runtimetest.Rootfs(t)
	l := connected(t, r)
	record, err := r.record(t.Context(), l, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.containers.Create(t.Context(), &containersapi.CreateContainerRequest{Container: record}); err != nil {
		t.Fatal(err)
	}
}

func plantTask(t *testing.T, dir string, a agent.Runtime, id string) {
	plantRecord(t, dir, a, id)
	if _, err := connected(t, a.(*Runtime)).tasks.Create(t.Context(), &tasksapi.CreateTaskRequest{ContainerID: id}); err != nil {
		t.Fatal(err)
	}
}

// plantKilledTask leaves what a containerd leaves whose client died while it
// made the container: its first process was killed before it began.
func plantKilledTask(t *testing.T, dir string, a agent.Runtime, id string) {
	plantTask(t, dir, a, id)
	r := a.(*Runtime)
	l := connected(t, r)
	if err := kill(t.Context(), l, id, unix.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	if err := waitEnd(t.Context(), l, id); err != nil {
		t.Fatal(err)
	}
	if err := r.keepEndings(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// plantBundle leaves what a containerd leaves that was killed while it wrote
// a bundle.
func plantBundle(t *testing.T, dir string, a agent.Runtime, id string) {
	for _, at := range a.(*Runtime).bundleDirs() {
		if err := os.MkdirAll(filepath.Join(at, id, "rootfs"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, id, "config.json"), []byte(`{"half`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func plantGroup(t *testing.T, dir string, a agent.Runtime, id string) {
	g := a.(*Runtime).cgroups
	for _, at := range g.mounts {
		if err := os.MkdirAll(filepath.Join(at, g.parent, id), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func plantProcess(t *testing.T, dir string, a agent.Runtime, id string) {
	plantGroup(t, dir, a, id)
	cmd := exec.Command("/bin/sh", "-c", "trap '' TERM; read line; sleep 1000 & wait")
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group, _ := a.(*Runtime).cgroups.dir("memory", id)
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	hold.Close() // it has no child before it is in the group
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("a process in a leftover group lives")
			cmd.Process.Kill()
		}
	})
}

// plantShim makes a container that runs, and makes containerd forget it in
// the way that it forgets a shim it cannot find: killed before it wrote down
// where the shim listens.
func plantShim(t *testing.T, dir string, a agent.Runtime, id string) {
	r := a.(*Runtime)
	plantTask(t, dir, a, id)
	l := connected(t, r)
	if _, err := l.tasks.Start(t.Context(), &tasksapi.StartRequest{ContainerID: id}); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(r.bundleDirs()[0], id, "address"))
	for _, pid := range daemons(dir) {
		unix.Kill(pid, unix.SIGKILL)
	}
	<-l.lost
	connected(t, r)
}

func plantRuncState(t *testing.T, dir string, a agent.Runtime, id string) {
	plantGroup(t, dir, a, id)
	at := filepath.Join(a.(*Runtime).runcRoot(), a.(*Runtime).ns, id)
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "state.json"), []byte(`{"half`), 0o600); err != nil {
		t.Fatal(err)
	}
}
