package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// processOf returns the first process of an instance, process 1 of its own
// namespace, as the machine numbers it.
func (c *computer) processOf(instance string) int {
	c.t.Helper()
	id := c.sql("SELECT id FROM instances WHERE name = '" + instance + "'")
	for _, pattern := range []string{"/sys/fs/cgroup/pids/volvox-%s/%s/cgroup.procs", "/sys/fs/cgroup/volvox-%s/%s/cgroup.procs"} {
		pids, _ := os.ReadFile(fmt.Sprintf(pattern, c.layout.ID, id))
		for _, pid := range strings.Fields(string(pids)) {
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			_, inside, _ := strings.Cut(string(status), "NSpid:")
			inside, _, _ = strings.Cut(inside, "\n")
			if f := strings.Fields(inside); len(f) == 2 && f[1] == "1" {
				n, _ := strconv.Atoi(pid)
				return n
			}
		}
	}
	c.t.Fatalf("no process of %s (%s)", instance, id)
	return 0
}

// withCounter adds the engine made of shell and a counter.
func (c *computer) withCounter() *computer {
	c.t.Helper()
	from, err := filepath.Abs("../addon/testdata/counter")
	if err != nil {
		c.t.Fatal(err)
	}
	to := filepath.Join(c.layout.Data, "addons", "counter")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// TestKillWhileCreating kills `volvox up` with -9 at random moments while it
// creates a database; started again, it finishes the database, makes nothing
// twice, and deleting it leaves nothing.
func TestKillWhileCreating(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	trials := 30
	if long() {
		trials = 100
	}
	const computers = 2
	for n := range uint64(computers) {
		t.Run(fmt.Sprintf("computer-%d", n), func(t *testing.T) {
			t.Parallel()
			killWhileCreating(t, rand.New(rand.NewPCG(seed, n)), trials/computers)
		})
	}
}

func killWhileCreating(t *testing.T, random *rand.Rand, trials int) {
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "warm", "--engine", "counter", "--replicas", "2") // the image is there now
	c.must("db", "delete", "warm", "--yes")
	began := time.Now()
	c.must("db", "create", "warm", "--engine", "counter", "--replicas", "2")
	usual := time.Since(began)
	t.Logf("creating takes %v", usual)

	for i := range trials {
		name := fmt.Sprintf("trial-%d", i)
		moment := time.Duration(random.Float64() * 1.1 * float64(usual))
		c.must("db", "create", name, "--engine", "counter", "--replicas", "2", "--detach")
		<-time.After(moment)
		c.kill()
		if i%3 == 1 { // and once more while it comes back
			c.start()
			<-time.After(time.Duration(random.Float64() * 0.5 * float64(time.Second)))
			c.kill()
		}
		c.boot()
		if out, errs, code := c.try("db", "wait", name); code != 0 {
			t.Fatalf("trial %d, killed after %v: exit %d\n%s%s\n%s", i, moment, code, out, errs, c.must("sql", "SELECT name, status, error FROM workflows ORDER BY created_at DESC LIMIT 3"))
		}
		if got := c.sql("SELECT count(*), count(DISTINCT address), sum(ready) FROM instances WHERE cluster = '" + name + "'"); got != "2,2,2" {
			t.Fatalf("trial %d, killed after %v: instances %q", i, moment, got)
		}
		if got := c.sql("SELECT count(*) FROM workflows WHERE status NOT IN ('Succeeded', 'Failed', 'Cancelled') OR error <> ''"); got != "0" {
			t.Fatalf("trial %d, killed after %v: %s workflows failed or are left", i, moment, got)
		}
		c.must("db", "delete", name, "--yes")
		if got := c.containers(); got != 2 {
			t.Fatalf("trial %d, killed after %v: %d containers, want the 2 of warm", i, moment, got)
		}
	}
}

// containers counts the control groups of instances of this computer; the one
// beside them, _own, is that of containerd.
func (c *computer) containers() int {
	for _, dir := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		entries, err := os.ReadDir(filepath.Join(dir, "volvox-"+c.layout.ID))
		n := 0
		for _, e := range entries {
			if e.IsDir() && e.Name() != "_own" {
				n++
			}
		}
		if err == nil {
			return n
		}
	}
	return 0
}

// TestContainerdDies kills our containerd: instances go on, and the computer
// can make new ones.
func TestContainerdDies(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "one", "--engine", "counter")
	member := c.processOf(c.sql("SELECT name FROM instances"))
	for range 3 {
		pid := c.containerd()
		if pid == 0 {
			t.Fatal("containerd does not run")
		}
		syscall.Kill(pid, syscall.SIGKILL)
		c.until("containerd is started again", 30*time.Second, func() bool { now := c.containerd(); return now != 0 && now != pid })
	}
	if _, err := os.Stat("/proc/" + itoa(member)); err != nil {
		t.Errorf("the instance died with containerd: %v", err)
	}
	c.must("db", "create", "two", "--engine", "counter", "--replicas", "2")
	c.must("db", "delete", "one", "--yes")
	c.must("db", "delete", "two", "--yes")
}

// containerd is the process of the computer's own containerd, 0 if none runs.
// Beware: signalling process 0 signals the test itself.
func (c *computer) containerd() int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		argv, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		if filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "containerd" && strings.Contains(string(argv), c.layout.Run+"/") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}
