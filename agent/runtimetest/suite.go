// Package runtimetest checks that an [agent.Runtime] keeps what its
// documentation promises. Each implementation runs it:
//
//	func TestMain(m *testing.M)     { os.Exit(runtimetest.Main(m, suite)) }
//	func TestRuntime(t *testing.T)  { runtimetest.Run(t, suite) }
//
// Everything is real: programs in containers, signals, a memory limit that is
// reached, processes killed at random moments. The suite checks itself, too:
// what it uses to find leftovers must find the ones that it plants.
package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/instance"
	"golang.org/x/sys/unix"
)

// Suite is an implementation, as the tests need it. A directory stands for a
// computer: all that the implementation makes follows from it.
type Suite struct {
	// Dir returns a new directory, which is removed when the test ends.
	Dir func(t testing.TB) string
	// Open opens the runtime of a directory. It is called again after Close,
	// and in another process after the first was killed.
	Open func(ctx context.Context, dir string) (agent.Runtime, error)
	// Purge removes every container of the directory and all else that the
	// runtime made, and closes it.
	Purge func(ctx context.Context, r agent.Runtime) error
	// Traces lists all that the runtime of the directory has on the machine
	// outside of it: processes, mounts, control groups, sockets.
	Traces func(t testing.TB, dir string) []string
	// Daemon returns the process that runtimes of the directory talk to. Nil
	// if the implementation has none.
	Daemon func(t testing.TB, dir string) int
	// Plant holds what can be left of a container, by name: each makes such a
	// leftover of a container with the ID.
	Plant map[string]func(t *testing.T, dir string, r agent.Runtime, id string)
}

// Run runs all tests: those that only use a runtime, and beside them those
// in which something dies.
func Run(t *testing.T, s Suite) {
	t.Run("Use", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, s)
		t.Run("Lifecycle", b.lifecycle)
		t.Run("Stop", b.stop)
		t.Run("Exec", b.exec)
		t.Run("Isolation", b.isolation)
		t.Run("Limits", b.limits)
		t.Run("Logs", b.logs)
		t.Run("Metrics", b.metrics)
		t.Run("Events", b.events)
	})
	t.Run("Crash", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, s)
		t.Run("Adopt", b.adopt)
		t.Run("Leftovers", b.leftovers)
		if s.Daemon != nil {
			t.Run("DaemonKilled", b.daemonKilled)
			t.Run("DaemonKilledAtRandom", b.daemonKilledAtRandom)
		}
		t.Run("ClientKilled", b.clientKilled)
		t.Run("NothingLeft", b.nothingLeft)
	})
}

// bench is a computer that tests share. Each test has its own containers.
type bench struct {
	Suite
	dir    string
	rootfs string
	r      agent.Runtime // nil while closed
}

func newBench(t *testing.T, s Suite) *bench {
	b := &bench{Suite: s, rootfs: Rootfs(t), dir: s.Dir(t)}
	b.open(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if b.r == nil {
			var err error
			if b.r, err = s.Open(ctx, b.dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Purge(ctx, b.r); err != nil {
			t.Errorf("purge: %v", err)
		}
		if left := s.Traces(t, b.dir); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	return b
}

func (b *bench) open(t testing.TB) {
	t.Helper()
	r, err := b.Open(t.Context(), b.dir)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	b.r = r
}

func (b *bench) close(t testing.TB) {
	t.Helper()
	if err := b.r.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	b.r = nil
}

// shell is a container that runs a shell script. It is removed when the test
// ends.
func (b *bench) shell(t testing.TB, id, script string) agent.Container {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if b.r == nil {
			return
		}
		if err := b.r.Remove(ctx, id); err != nil {
			t.Errorf("remove %s: %v", id, err)
		}
	})
	return agent.Container{
		ID: id, Rootfs: b.rootfs, UID: UID, Command: []string{"/bin/sh", "-c", script},
		Limits: instance.Limits{CPUMillis: 2000, MemoryBytes: 64 << 20, Pids: 64},
		Labels: map[string]string{"name": "host-" + id},
	}
}

// forever is a script that does nothing until SIGTERM.
const forever = `trap 'exit 0' TERM; while :; do sleep 60 & wait $!; done`

// data binds a new directory, writable by the container, to /data.
func data(t testing.TB, c *agent.Container) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, UID, UID); err != nil {
		t.Fatal(err)
	}
	c.Binds = append(c.Binds, agent.Bind{Source: dir, Target: "/data"})
	return dir
}

func (b *bench) create(t testing.TB, c agent.Container) {
	t.Helper()
	if err := b.r.Create(t.Context(), c); err != nil {
		t.Fatalf("create %s: %v", c.ID, err)
	}
}

// find returns a container's status; false if it is not listed.
func (b *bench) find(t testing.TB, id string) (agent.Status, bool) {
	t.Helper()
	all, err := b.r.List(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, s := range all {
		if s.ID == id {
			return s, true
		}
	}
	return agent.Status{}, false
}

func (b *bench) must(t testing.TB, id string, state agent.State) agent.Status {
	t.Helper()
	s, ok := b.find(t, id)
	if !ok || s.State != state {
		t.Fatalf("container %s: %+v (listed: %v), want state %s", id, s, ok, state)
	}
	return s
}

// ended waits for the container's end.
func (b *bench) ended(t testing.TB, id string) agent.Status {
	t.Helper()
	var s agent.Status
	until(t, "container "+id+" ends", func() bool {
		s, _ = b.find(t, id)
		return s.State == agent.Ended
	})
	return s
}

// sh runs a script in a container and returns what it prints.
func (b *bench) sh(t testing.TB, id, script string) string {
	t.Helper()
	var out bytes.Buffer
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: string(volvox.NewID()), Command: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil || code != 0 {
		t.Fatalf("exec in %s: exit %d, %v: %s", id, code, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

// until polls the condition, for long enough for a busy machine.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until: %s", what)
		case <-tick.C:
		}
	}
}

// untilFile waits until the file has content, and returns it.
func untilFile(t testing.TB, path string) string {
	t.Helper()
	var b []byte
	until(t, path+" has content", func() bool {
		b, _ = os.ReadFile(path)
		return len(b) > 0
	})
	return strings.TrimSpace(string(b))
}

// alive says whether the process runs.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// end kills a process by its number and waits for its end.
func end(t testing.TB, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the process ends", func() bool { return !alive(pid) })
}

// wantCode checks an error's code.
func wantCode(t testing.TB, what string, err error, want volvox.Code) {
	t.Helper()
	if volvox.CodeOf(err) != want {
		t.Errorf("%s: %v (code %q), want %s", what, err, volvox.CodeOf(err), want)
	}
}

// childEnv tells a process of the test program what it is for.
const childEnv = "VOLVOX_RUNTIMETEST_CHILD"

// Main runs m, unless this process is one that the tests started to kill it.
// It returns the exit code.
func Main(m *testing.M, s Suite) int {
	if arg := os.Getenv(childEnv); arg != "" {
		return client(s, arg)
	}
	return m.Run()
}

// child starts this program again with another purpose.
func child(t testing.TB, arg string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+arg)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}
