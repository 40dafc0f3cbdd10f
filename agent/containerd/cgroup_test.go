package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/runtimetest"
	"golang.org/x/sys/unix"
)

// fixture writes files and a mountinfo that names directories below as
// hierarchies: %s in a line is the directory.
func fixture(t *testing.T, mountinfo string, files map[string]string) cgroups {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	info := filepath.Join(dir, "mountinfo")
	if err := os.WriteFile(info, []byte(strings.ReplaceAll(mountinfo, "%s", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := findCgroups(info, "volvox-abcdef")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestVersion2(t *testing.T) {
	t.Parallel()
	g := fixture(t, `22 1 0:21 / /proc rw - proc proc rw
30 22 0:26 / %s rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
`, map[string]string{
		"volvox-abcdef/a/cpu.stat":        "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
		"volvox-abcdef/a/memory.current":  "10000000\n",
		"volvox-abcdef/a/memory.max":      "33554432\n",
		"volvox-abcdef/a/memory.stat":     "anon 4000000\nfile 6000000\ninactive_file 5000000\nactive_file 1000000\n",
		"volvox-abcdef/a/memory.events":   "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
		"volvox-abcdef/a/pids.current":    "5\n",
		"volvox-abcdef/a/cgroup.procs":    "12\n14\n",
		"volvox-abcdef/b/memory.max":      "max\n",
		"volvox-abcdef/c/memory.events":   "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n",
		"volvox-abcdef/_own/cgroup.procs": "1\n",
	})
	m, err := g.metrics("a")
	want := agent.Metrics{CPU: 1500 * time.Millisecond, MemoryBytes: 4000000, MemoryLimit: 32 << 20, Pids: 5, OOMKills: 2}
	if err != nil || m != want {
		t.Errorf("metrics %+v, %v, want %+v", m, err, want)
	}
	if n := g.oomKills("b"); n != 0 {
		t.Errorf("%d kills without a file", n)
	}
	if _, err := g.metrics("b"); err == nil {
		t.Error("metrics of a group without files")
	}
	if ids := g.list(); !slices.Equal(ids, []string{"a", "b", "c"}) {
		t.Errorf("groups %v", ids)
	}
	if pids := g.pids("a"); !slices.Equal(pids, []int{12, 14}) {
		t.Errorf("processes %v", pids)
	}
	if !g.limitKilled("a") || g.limitKilled("b") || g.limitKilled("c") {
		t.Error("a was ended by its limit, and c by the machine's")
	}
	if !g.limitsSwap() {
		t.Error("version 2 limits swap")
	}
}

func TestHybrid(t *testing.T) {
	t.Parallel()
	g := fixture(t, `30 22 0:26 / %s/memory rw - cgroup cgroup rw,memory
31 22 0:27 / %s/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 22 0:28 / %s/pids rw - cgroup cgroup rw,pids
33 22 0:29 / %s/unified rw - cgroup2 cgroup2 rw
`, map[string]string{
		"memory/volvox-abcdef/a/memory.usage_in_bytes":     "10000000\n",
		"memory/volvox-abcdef/a/memory.limit_in_bytes":     "9223372036854771712\n",
		"memory/volvox-abcdef/a/memory.stat":               "inactive_file 1\ntotal_inactive_file 3000000\ntotal_active_file 1000000\n",
		"memory/volvox-abcdef/a/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		"cpu,cpuacct/volvox-abcdef/a/cpuacct.usage":        "1500000000\n",
		"memory/volvox-abcdef/b/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		"memory/volvox-abcdef/b/memory.limit_in_bytes":     "33554432\n",
		"memory/volvox-abcdef/b/memory.max_usage_in_bytes": "33000000\n",
		"memory/volvox-abcdef/c/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		"memory/volvox-abcdef/c/memory.limit_in_bytes":     "33554432\n",
		"memory/volvox-abcdef/c/memory.max_usage_in_bytes": "20000000\n",
		"pids/volvox-abcdef/a/pids.current":                "5\n",
		"unified/volvox-abcdef/a/cgroup.procs":             "12\n",
	})
	m, err := g.metrics("a")
	want := agent.Metrics{CPU: 1500 * time.Millisecond, MemoryBytes: 6000000, Pids: 5, OOMKills: 1}
	if err != nil || m != want {
		t.Errorf("metrics %+v, %v, want %+v", m, err, want)
	}
	if !g.limitKilled("b") || g.limitKilled("c") {
		t.Error("b was ended by its limit, and c by the machine's")
	}
	if ids := g.list(); !slices.Equal(ids, []string{"a", "b", "c"}) || len(g.mounts) != 4 {
		t.Errorf("groups %v in %v", ids, g.mounts)
	}
	if g.limitsSwap() {
		t.Error("without memory.memsw, swap cannot be limited")
	}
}

func TestNoCgroups(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "mountinfo")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := findCgroups(empty, "x"); err == nil {
		t.Error("a machine without cgroups was accepted")
	}
}

// TestLimitsSet reads the limits where the kernel has them.
func TestLimitsSet(t *testing.T) {
	t.Parallel()
	r, _ := open(t)
	c := container(t, r, "a", "df -k /dev/shm | tail -n 1; ulimit -n; sleep 1000")
	c.Rootfs = runtimetest.Rootfs(t)
	c.Limits.CPUMillis, c.Limits.MemoryBytes, c.Limits.Pids = 250, 256<<20, 33
	c.LogPath = filepath.Join(t.TempDir(), "log")
	if err := r.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	type setting struct{ controller, v1, v2, want1, want2 string }
	for _, s := range []setting{
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "25000", "25000 100000"},
		{"memory", "memory.limit_in_bytes", "memory.max", "268435456", "268435456"},
		{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max", "268435456", "0"},
		{"pids", "pids.max", "pids.max", "33", "33"},
	} {
		dir, v1 := r.cgroups.dir(s.controller, "a")
		file, want := s.v2, s.want2
		if v1 {
			file, want = s.v1, s.want1
		}
		got, err := os.ReadFile(filepath.Join(dir, file))
		if os.IsNotExist(err) && strings.Contains(file, "sw") {
			continue // this kernel does not count swap
		}
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: %q, %v, want %s", file, got, err, want)
		}
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	until(t, "the log has both lines", func() bool {
		b, _ := os.ReadFile(c.LogPath)
		return strings.Contains(string(b), fmt.Sprint(min(maxFiles, own.Max))) && strings.Contains(string(b), fmt.Sprint(128<<10))
	})
}

// TestTraces: the search for what is left finds each kind of it.
func TestTraces(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	r, err := prepare(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer r.lock.Close()
	base := len(traces(t, dir))
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if len(traces(t, dir)) != base+1 {
		t.Error("a mount is not seen")
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read line", dir)
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "a process and a file are seen", func() bool { return len(traces(t, dir)) == base+2 })
	hold.Close()
	cmd.Wait()
	os.Remove(filepath.Join(dir, "file"))
	plantProcess(t, dir, r, "x")
	if found := strings.Join(traces(t, dir), "\n"); !strings.Contains(found, "control group") {
		t.Errorf("a control group is not seen: %s", found)
	}
	if err := r.cgroups.remove("x"); err != nil {
		t.Fatal(err)
	}
	if err := r.cgroups.removeParent(); err != nil {
		t.Fatal(err)
	}
	if found := traces(t, dir); len(found) != base {
		t.Errorf("left: %v", found)
	}
}
