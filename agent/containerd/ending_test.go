package containerd

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/runtimetest"
	"golang.org/x/sys/unix"
)

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
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

func states(t *testing.T, r *Runtime) map[string]agent.Status {
	t.Helper()
	all, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]agent.Status{}
	for _, s := range all {
		byID[s.ID] = s
	}
	return byID
}

// TestShimKilled: a container ends with its shim, which is said to have
// happened, and the shim's socket does not stay.
func TestShimKilled(t *testing.T) {
	t.Parallel()
	r, _ := open(t)
	c := container(t, r, "a", "sleep 1000")
	c.Rootfs = runtimetest.Rootfs(t)
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	socket := shimSocket(r.daemon.socket, r.ns, "a")
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the shim listens elsewhere: %v", err)
	}
	for _, pid := range findProcesses(func(args []string) bool { return r.isShim(args, "a") }) {
		unix.Kill(pid, unix.SIGKILL)
	}
	until(t, "its end is known", func() bool { return states(t, r)["a"].State == agent.Ended })
	if s := states(t, r)["a"]; s.ExitCode != 137 || s.OOMKilled {
		t.Errorf("status %+v", s)
	}
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if s := states(t, r)["a"]; s.State != agent.Up {
		t.Errorf("status %+v", s)
	}
	if err := r.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the shim's socket stays")
	}
}

// TestLateStray: a command of a dead process that has its mark only after the
// next one has looked for it is ended, and no other.
func TestLateStray(t *testing.T) {
	t.Parallel()
	r, dir := open(t)
	c := container(t, r, "a", "sleep 1000")
	c.Rootfs = runtimetest.Rootfs(t)
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	const stray = "xabc"
	at := filepath.Join(r.execDir(), stray)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(at, "stdout"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	other := make(chan error, 1)
	mine, end := context.WithCancel(ctx)
	go func() {
		_, err := r.Exec(mine, "a", agent.Exec{ID: "mine", Command: []string{"sleep", "1000"}})
		other <- err
	}()
	code, err := r.Exec(ctx, "a", agent.Exec{ID: "late", Command: []string{"env", execMark + stray, "sleep", "1000"}})
	if code != 137 || err != nil {
		t.Errorf("the stray ended with %d, %v", code, err)
	}
	if len(other) > 0 {
		t.Error("a command of our own ended")
	}
	end()
	<-other
}

// TestShutdown: the ends of containers are known after containerd, its shims
// and even the machine were restarted.
func TestShutdown(t *testing.T) {
	t.Parallel()
	r, dir := open(t)
	for id, script := range map[string]string{"ends": "exit 7", "hogs": "exec tail -n 1 /dev/zero", "runs": "sleep 1000"} {
		c := container(t, r, id, script)
		c.Rootfs = runtimetest.Rootfs(t)
		c.Limits.MemoryBytes = 24 << 20
		c.Labels = map[string]string{"name": id}
		if err := r.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "two have ended", func() bool {
		s := states(t, r)
		return s["ends"].State == agent.Ended && s["hogs"].State == agent.Ended
	})
	pid := states(t, r)["runs"].PID
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pids := daemons(dir); len(pids) != 0 {
		t.Errorf("containerd goes on: %v", pids)
	}
	if shims := findProcesses(func(args []string) bool { return r.isShim(args, "") }); len(shims) != 1 {
		t.Errorf("shims %v, want that of the container that runs", shims)
	}
	check := func(runs agent.State) {
		t.Helper()
		s := states(t, r)
		if e := s["ends"]; e.State != agent.Ended || e.ExitCode != 7 || e.OOMKilled || e.Labels["name"] != "ends" || e.EndedAt.IsZero() {
			t.Errorf("status %+v", e)
		}
		if e := s["hogs"]; e.State != agent.Ended || e.ExitCode != 137 || !e.OOMKilled {
			t.Errorf("status %+v", e)
		}
		if s["runs"].State != runs {
			t.Errorf("status %+v", s["runs"])
		}
	}
	r = reopen(t, dir)
	check(agent.Up)
	if s := states(t, r)["runs"]; s.PID != pid {
		t.Errorf("status %+v, was process %d", s, pid)
	}

	// The machine restarts: processes, groups and the run directory are gone.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range append(daemons(dir), findProcesses(func(args []string) bool { return r.isShim(args, "") })...) {
		unix.Kill(pid, unix.SIGKILL)
	}
	if err := r.cgroups.remove("runs"); err != nil {
		t.Fatal(err)
	}
	os.Remove(shimSocket(r.daemon.socket, r.ns, "runs"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "root" {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	r = reopen(t, dir)
	check(agent.Broken)
}

// TestQueue: a consumer that does not keep up is told so.
func TestQueue(t *testing.T) {
	t.Parallel()
	h := newHub(nil)
	e := h.add()
	for range queueLength + 1 {
		h.tell(agent.Event{Kind: "exit", ID: "a"})
	}
	select {
	case <-e.gap:
	default:
		t.Error("events were lost without a gap")
	}
	if len(e.queue) != queueLength {
		t.Errorf("%d events queued", len(e.queue))
	}
}
