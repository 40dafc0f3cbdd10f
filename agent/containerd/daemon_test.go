package containerd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/runtimetest"
	"golang.org/x/sys/unix"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	_, dir := open(t)
	if _, err := Open(t.Context(), options(dir)); volvox.CodeOf(err) != volvox.Busy {
		t.Errorf("a second Open: %v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(*Options){
		func(o *Options) { o.Binary = "/no/such/containerd" },
		func(o *Options) { o.RuncBinary = "no-such-runc" },
	} {
		opt := options(newDir(t))
		spoil(&opt)
		if _, err := Open(t.Context(), opt); volvox.CodeOf(err) != volvox.MissingProgram {
			t.Errorf("%v", err)
		}
	}
}

// TestWillNotStart: a containerd that ends at once is an error that has its
// last words.
func TestWillNotStart(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	bad := filepath.Join(dir, "containerd")
	if err := os.WriteFile(bad, []byte("#!/bin/sh\necho my last words\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	opt := options(dir)
	opt.Binary, opt.Patience, opt.Hang = bad, 200*time.Millisecond, 200*time.Millisecond
	_, err := Open(t.Context(), opt)
	if volvox.CodeOf(err) != volvox.RuntimeFailed || !strings.Contains(err.Error(), "my last words") {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/volvox-" + opt.Computer); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestAdopt: what an earlier process or a crash left is adopted, or ended, or
// written over.
func TestAdopt(t *testing.T) {
	t.Parallel()
	r, dir := open(t)
	first := daemons(dir)
	if s, ok := readStat(first[0]); !ok || s.session != first[0] {
		t.Errorf("containerd is not in a session of its own: %+v", s)
	}
	again := func(change ...func(*Options)) []int {
		t.Helper()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = reopen(t, dir, change...)
		if _, err := r.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		pids := daemons(dir)
		if len(pids) != 1 {
			t.Fatalf("%d containerds", len(pids))
		}
		return pids
	}
	if pids := again(); pids[0] != first[0] {
		t.Error("a containerd that runs was not adopted")
	}

	second := exec.Command(r.opt.Binary, "--config", r.daemon.config)
	second.Args[0] = "containerd"
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	if pids := again(); pids[0] != first[0] {
		t.Error("not the first of two containerds was adopted")
	}
	second.Wait()

	unix.Kill(first[0], unix.SIGSTOP)
	hung := first[0]
	if pids := again(func(o *Options) { o.Hang = 2 * time.Second }); pids[0] == hung {
		t.Error("a containerd that hangs was adopted")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	unix.Kill(daemons(dir)[0], unix.SIGKILL)
	for _, path := range []string{r.daemon.config, r.daemon.config + ".new", r.daemon.socket + ".lock", filepath.Join(r.daemon.state(), "garbage")} {
		if err := os.WriteFile(path, []byte("half a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = reopen(t, dir)
	if _, err := r.List(t.Context()); err != nil {
		t.Error(err)
	}
	os.Remove(r.daemon.config + ".new")
	os.Remove(r.daemon.socket + ".lock")
}

// fakeEnv makes this program a process that looks like containerd.
const fakeEnv = "VOLVOX_TEST_FAKE_DAEMON"

// fake is such a process, with a child that looks the same; both wait.
func fake() {
	if os.Getenv(fakeEnv) == "parent" {
		child := exec.Command("/proc/self/exe", os.Args[1:]...)
		child.Args[0] = os.Args[0]
		child.Env = append(os.Environ(), fakeEnv+"=child")
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		child.Start()
	}
	for {
		unix.Pause()
	}
}

// TestForked: a child of containerd that has not yet executed its program is
// no second containerd.
func TestForked(t *testing.T) {
	t.Parallel()
	d := newDaemon(options(newDir(t)), "")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "--config", d.config)
	cmd.Args[0] = "containerd"
	cmd.Env = append(os.Environ(), fakeEnv+"=parent")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(findProcesses(d.is)) < 2 {
		select {
		case <-ctx.Done():
			t.Fatal("there are no two processes")
		case <-tick.C:
		}
	}
	for range 3 {
		p, err := d.find()
		if err != nil || p == nil || p.pid != cmd.Process.Pid {
			t.Fatalf("found %+v, %v", p, err)
		}
		p.close()
	}
	if n := len(findProcesses(d.is)); n != 2 {
		t.Errorf("%d processes left", n)
	}
}

// TestImpostor: a process of another user that calls itself our containerd is
// none.
func TestImpostor(t *testing.T) {
	t.Parallel()
	d := newDaemon(options(newDir(t)), "")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "--config", d.config)
	cmd.Args[0] = "containerd"
	cmd.Env = append(os.Environ(), fakeEnv+"=child")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: runtimetest.UID, Gid: runtimetest.UID}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	until(t, "it looks like containerd", func() bool { return d.is(readArgs(cmd.Process.Pid)) })
	if p, err := d.find(); p != nil || err != nil {
		t.Errorf("found %+v, %v", p, err)
	}
	if s, ok := readStat(cmd.Process.Pid); !ok || s.state == 'Z' {
		t.Error("it was ended")
	}
}

// TestOwnGroup: containerd and its shims are in no group of the process that
// started them, so that they do not end with its service or session.
func TestOwnGroup(t *testing.T) {
	t.Parallel()
	r, dir := open(t)
	c := container(t, r, "a", "sleep 1000")
	c.Rootfs = runtimetest.Rootfs(t)
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	shims := findProcesses(func(args []string) bool { return r.isShim(args, "a") })
	if len(shims) == 0 {
		t.Fatal("there is no shim")
	}
	check := func(pids []int) {
		t.Helper()
		for _, pid := range pids {
			in := r.cgroups.pids(own)
			if !slices.Contains(in, pid) {
				t.Errorf("process %d (%v) is not in the group, %v are", pid, readArgs(pid), in)
			}
		}
	}
	check(append(shims, daemons(dir)...))
	old := connected(t, r)
	unix.Kill(old.pid, unix.SIGKILL)
	<-old.lost
	connected(t, r)
	check(append(shims, daemons(dir)...))
	if err := r.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	until(t, "the shims end", func() bool { return len(r.cgroups.pids(own)) == 1 })
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := slices.DeleteFunc(traces(t, dir), func(s string) bool { return !strings.HasPrefix(s, "control group") }); len(left) > 0 {
		t.Errorf("after the shutdown: %v", left)
	}
}
