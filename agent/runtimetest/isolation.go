package runtimetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

func (b *bench) isolation(t *testing.T) {
	c := b.shell(t, "isolation1", forever)
	rw := data(t, &c)
	ro := t.TempDir()
	if err := os.WriteFile(filepath.Join(ro, "file"), []byte("fixed"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(rw, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Binds = append(c.Binds, agent.Bind{Source: ro, Target: "/config", ReadOnly: true},
		agent.Bind{Source: ro, Target: "/data/inner", ReadOnly: true}, // in another bind, where the image has nothing
		agent.Bind{Source: filepath.Join(ro, "file"), Target: "/etc/group", ReadOnly: true})
	b.create(t, c)
	for _, where := range []string{"1", "self"} { // the program, and a command executed
		status := b.sh(t, c.ID, "cat /proc/"+where+"/status")
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d", UID), fmt.Sprintf("Gid:\t%d\t%[1]d\t%[1]d\t%[1]d", UID),
			"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
			"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
		} {
			if !strings.Contains(status, want) {
				t.Errorf("process %s lacks %q:\n%s", where, want, status)
			}
		}
	}
	cases := []struct{ script, want string }{
		{"hostname", "host-" + c.ID},
		{"cat /config/file /data/inner/file /etc/group", "fixedfixedfixed"},
		{"touch /x", "touch: /x: Read-only file system"},
		{"touch /bin/x", "touch: /bin/x: Read-only file system"},
		{"touch /config/x", "touch: /config/x: Read-only file system"},
		{"echo 1 >/data/x; cat /data/x", "1"},
		{"tail -n +3 /proc/net/dev | cut -d: -f1", "lo"},
		{"mkdir /dev/shm/x && echo made", "made"},
		{"unshare -m true", "unshare: unshare(0x20000): Operation not permitted"},
		{"test $(ulimit -n) -gt 1000 && echo enough", "enough"},
		{"ls /proc | grep -c '^1$'", "1"},
	}
	var all strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&all, "(%s) 2>&1; echo; echo =====\n", c.script)
	}
	for i, got := range strings.Split(strings.TrimSuffix(b.sh(t, c.ID, all.String()), "====="), "=====") {
		if want := cases[i]; strings.TrimSpace(got) != want.want {
			t.Errorf("%s: %q, want %q", want.script, strings.TrimSpace(got), want.want)
		}
	}
	if pids := strings.Fields(b.sh(t, c.ID, "ls /proc | grep '^[0-9]*$'")); len(pids) > 8 || !slices.Contains(pids, "1") {
		t.Errorf("sees processes %v", pids)
	}
	if got, err := os.ReadFile(filepath.Join(rw, "x")); err != nil || string(got) != "1\n" {
		t.Errorf("wrote %q, %v", got, err)
	}
	b.sharedNetwork(t)
}

// sharedNetwork: the network namespace is the one that was given.
func (b *bench) sharedNetwork(t *testing.T) {
	inode := func(pid string) (s unix.Stat_t) {
		if err := unix.Stat("/proc/"+pid+"/ns/net", &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := b.shell(t, "network1", forever)
	b.create(t, first)
	pid := fmt.Sprint(b.must(t, first.ID, agent.Up).PID)
	second := b.shell(t, "network2", forever)
	second.NetNS = "/proc/" + pid + "/ns/net"
	b.create(t, second)
	other := fmt.Sprint(b.must(t, second.ID, agent.Up).PID)
	if inode(pid).Ino != inode(other).Ino || inode(pid).Ino == inode("self").Ino {
		t.Error("the network namespace is not the one given")
	}
}

func (b *bench) limits(t *testing.T) {
	t.Run("Processes", b.limitProcesses)
	t.Run("ChildOutOfMemory", b.childOutOfMemory)
	t.Run("OutOfMemory", b.outOfMemory)
}

func (b *bench) limitProcesses(t *testing.T) {
	c := b.shell(t, "pids1", forever)
	c.Limits.Pids = 12
	b.create(t, c)
	m, err := b.r.Metrics(t.Context(), c.ID)
	if err != nil || m.MemoryLimit != c.Limits.MemoryBytes {
		t.Errorf("metrics %+v, %v", m, err)
	}
	got := b.sh(t, c.ID, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do (sleep 5 &) ; done 2>&1 | head -n 1; pkill sleep; true")
	if !strings.Contains(got, "can't fork") {
		t.Errorf("forked without end: %q", got)
	}
	b.must(t, c.ID, agent.Up)
}

// hog takes memory until it may not have more.
const hog = `tail -n 1 /dev/zero`

// childOutOfMemory: the kernel ends a child, and the container goes on.
func (b *bench) childOutOfMemory(t *testing.T) {
	events := b.follow(t)
	c := b.shell(t, "oom1", hog+`; echo $? >/data/code; read line </data/go; exit 3`)
	dir := data(t, &c)
	if err := unix.Mkfifo(filepath.Join(dir, "go"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "go"), UID, UID); err != nil {
		t.Fatal(err)
	}
	c.Limits.MemoryBytes = 24 << 20
	b.create(t, c)
	if code := untilFile(t, filepath.Join(dir, "code")); code != "137" {
		t.Errorf("the child's exit code is %s", code)
	}
	events.await(t, agent.Event{Kind: "oom", ID: c.ID})
	if s := b.must(t, c.ID, agent.Up); !s.OOMKilled {
		t.Errorf("status %+v", s)
	}
	if m, err := b.r.Metrics(t.Context(), c.ID); err != nil || m.OOMKills != 1 {
		t.Errorf("metrics %+v, %v", m, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if s := b.ended(t, c.ID); s.ExitCode != 3 || !s.OOMKilled {
		t.Errorf("status %+v", s)
	}
}

// outOfMemory: the kernel ends the program itself. A later run of the
// container is not held against it.
func (b *bench) outOfMemory(t *testing.T) {
	events := b.follow(t)
	c := b.shell(t, "oom2", "exec "+hog)
	c.Limits.MemoryBytes = 24 << 20
	b.create(t, c)
	if s := b.ended(t, c.ID); s.ExitCode != 137 || !s.OOMKilled {
		t.Errorf("status %+v", s)
	}
	events.await(t, agent.Event{Kind: "exit", ID: c.ID})
	c.Command[2] = forever
	b.create(t, c)
	if s := b.must(t, c.ID, agent.Up); s.OOMKilled {
		t.Errorf("status of the next run %+v", s)
	}
	_, err := b.r.Metrics(t.Context(), "never-there")
	wantCode(t, "metrics of no container", err, volvox.NotFound)
}

func (b *bench) metrics(t *testing.T) {
	c := b.shell(t, "metrics1", `i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; touch /data/done; `+forever)
	dir := data(t, &c)
	b.create(t, c)
	before, err := b.r.Metrics(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the work is done", func() bool { _, err := os.Stat(filepath.Join(dir, "done")); return err == nil })
	b.sh(t, c.ID, "head -c 8388608 /dev/zero >/dev/shm/x")
	after, err := b.r.Metrics(t.Context(), c.ID)
	if err != nil || after.CPU <= before.CPU || after.Pids < 1 || after.MemoryLimit != c.Limits.MemoryBytes || after.OOMKills != 0 {
		t.Errorf("metrics %+v, then %+v, %v", before, after, err)
	}
	if after.MemoryBytes < 8<<20 || after.MemoryBytes > after.MemoryLimit {
		t.Errorf("memory %d", after.MemoryBytes)
	}
	// Page cache that can be given back is not counted.
	b.sh(t, c.ID, "head -c 16777216 /dev/zero >/data/big; cat /data/big >/dev/null; sync /data/big; cat /data/big >/dev/null")
	if more, err := b.r.Metrics(t.Context(), c.ID); err != nil || more.MemoryBytes > after.MemoryBytes+12<<20 {
		t.Errorf("memory with page cache %d, without %d, %v", more.MemoryBytes, after.MemoryBytes, err)
	}
}

func (b *bench) logs(t *testing.T) {
	c := b.shell(t, "logs1", `echo one; echo two >&2; echo three >/dev/stdout; `+forever)
	c.LogPath = filepath.Join(t.TempDir(), "sub", "log")
	has := func(text string) {
		t.Helper()
		until(t, fmt.Sprintf("the log is %q", text), func() bool {
			got, _ := os.ReadFile(c.LogPath)
			lines := strings.Split(string(got), "\n") // two streams have no common order
			slices.Sort(lines)
			return strings.TrimSpace(strings.Join(lines, "\n")) == text
		})
	}
	b.create(t, c)
	has("one\nthree\ntwo")
	if err := b.r.Stop(t.Context(), c.ID, "SIGKILL", 0); err != nil {
		t.Fatal(err)
	}
	b.create(t, c)
	has("one\none\nthree\nthree\ntwo\ntwo")
	if info, err := os.Stat(c.LogPath); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the log's mode is %v, %v", info.Mode(), err)
	}
	// Rotation copies and truncates: what follows begins the file anew.
	if err := os.Truncate(c.LogPath, 0); err != nil {
		t.Fatal(err)
	}
	b.sh(t, c.ID, "echo four >/proc/1/fd/1")
	has("four")
}
