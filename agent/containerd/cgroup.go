package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

// cgroups knows the control groups of the containers, on machines with
// version 1, version 2, and both. A container's group has the same name in
// every hierarchy.
type cgroups struct {
	parent  string            // name of the group above the containers'
	mounts  []string          // all hierarchies
	v1      map[string]string // version 1 controllers, to their hierarchy
	unified string            // the version 2 hierarchy; empty if there is none
}

// findCgroups reads a mountinfo file.
func findCgroups(mountinfo, parent string) (cgroups, error) {
	g := cgroups{parent: parent, v1: map[string]string{}}
	f, err := os.Open(mountinfo)
	if err != nil {
		return g, fmt.Errorf("find cgroups: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		head, tail, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(head), strings.Fields(tail)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		switch at := left[4]; right[0] {
		case "cgroup":
			for _, c := range strings.Split(right[2], ",") {
				if _, seen := g.v1[c]; !seen {
					g.v1[c] = at
				}
			}
		case "cgroup2":
			if g.unified != "" {
				continue
			}
			g.unified = at
		default:
			continue
		}
		if !slices.Contains(g.mounts, left[4]) {
			g.mounts = append(g.mounts, left[4])
		}
	}
	if err := lines.Err(); err != nil {
		return g, fmt.Errorf("find cgroups: %w", err)
	}
	if len(g.mounts) == 0 {
		return g, volvox.Errorf(volvox.RuntimeFailed, "this machine has no cgroups").
			Because("no cgroup file system is mounted").WithTry("mount -t cgroup2 none /sys/fs/cgroup")
	}
	return g, nil
}

// own is the group of containerd and the shims. Its name cannot be a
// container's.
const own = "_own"

// adopt moves a process into the group own, in which what it starts is, too:
// so it does not end with the service or session that it was started in, and
// does not count as theirs. A hierarchy in which that is not possible, such as
// one of processors that has none assigned, is left as it is; the error says
// that there is no other.
func (g cgroups) adopt(pid int) error {
	var errs []error
	moved := false
	for _, at := range g.mounts {
		dir := filepath.Join(at, g.parent, own)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
		}
		if err != nil {
			errs = append(errs, err)
			unix.Rmdir(dir)
			continue
		}
		moved = true
	}
	if moved {
		return nil
	}
	return fmt.Errorf("move process %d into a cgroup of its own: %w", pid, errors.Join(errs...))
}

// path is what the container's specification says.
func (g cgroups) path(id string) string { return "/" + g.parent + "/" + id }

// dir returns the container's directory in the hierarchy of the controller,
// and whether that is of version 1.
func (g cgroups) dir(controller, id string) (dir string, v1 bool) {
	if at, ok := g.v1[controller]; ok {
		return filepath.Join(at, g.parent, id), true
	}
	return filepath.Join(g.unified, g.parent, id), false
}

// limitsSwap says whether memory and swap can be limited together.
func (g cgroups) limitsSwap() bool {
	at, v1 := g.v1["memory"]
	if !v1 {
		return true
	}
	_, err := os.Stat(filepath.Join(at, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// list returns the containers that have a group in any hierarchy.
func (g cgroups) list() []string {
	var ids []string
	for _, at := range g.mounts {
		entries, _ := os.ReadDir(filepath.Join(at, g.parent))
		for _, e := range entries {
			if e.IsDir() && e.Name() != own && !slices.Contains(ids, e.Name()) {
				ids = append(ids, e.Name())
			}
		}
	}
	return ids
}

// pids returns the container's processes.
func (g cgroups) pids(id string) []int {
	var pids []int
	for _, at := range g.mounts {
		b, _ := os.ReadFile(filepath.Join(at, g.parent, id, "cgroup.procs"))
		for _, line := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(line); err == nil && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// remove kills what is in the container's groups and removes them.
func (g cgroups) remove(id string) error {
	var err error
	for range 200 {
		pids := g.pids(id)
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		if err = g.rmdir(id); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroups of %s: %w", id, err)
}

// removeParent removes the group above the containers', which must have gone.
func (g cgroups) removeParent() error { return errors.Join(g.remove(own), g.rmdir("")) }

// tidy removes the groups that are not a container's, unless something stays
// in them: one is busy for a moment after its last process has ended.
func (g cgroups) tidy() {
	for range 20 {
		if g.rmdir(own) == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = g.rmdir("")
}

func (g cgroups) rmdir(id string) error {
	var errs []error
	for _, at := range g.mounts {
		if err := unix.Rmdir(filepath.Join(at, g.parent, id)); err != nil && err != unix.ENOENT {
			errs = append(errs, &fs.PathError{Op: "rmdir", Path: filepath.Join(at, g.parent, id), Err: err})
		}
	}
	return errors.Join(errs...)
}

// oomKills returns how many processes of the container the kernel has ended
// for its memory limit; 0 also when the group is not there.
func (g cgroups) oomKills(id string) int64 {
	dir, v1 := g.dir("memory", id)
	file := "memory.events"
	if v1 {
		file = "memory.oom_control"
	}
	n, _ := readKey(filepath.Join(dir, file), "oom_kill")
	return n
}

// limitKilled says whether the kernel has ended a process of the container for
// its memory limit. With these the kernel counts those that it ended because
// the whole machine had no memory. Version 2 tells how often the limit was
// in the way; of version 1 it is known whether the use ever came near it.
func (g cgroups) limitKilled(id string) bool {
	if g.oomKills(id) == 0 {
		return false
	}
	dir, v1 := g.dir("memory", id)
	if !v1 {
		n, err := readKey(filepath.Join(dir, "memory.events"), "oom")
		return err != nil || n > 0
	}
	limit, err := readKey(filepath.Join(dir, "memory.limit_in_bytes"), "")
	most, err2 := readKey(filepath.Join(dir, "memory.max_usage_in_bytes"), "")
	return err != nil || err2 != nil || most >= limit-limit/8
}

// metrics reads the container's use. The files differ between versions.
func (g cgroups) metrics(id string) (agent.Metrics, error) {
	m := agent.Metrics{OOMKills: g.oomKills(id)}
	var errs []error
	read := func(into *int64, dir, file, key string) {
		n, err := readKey(filepath.Join(dir, file), key)
		*into = n
		errs = append(errs, err)
	}
	var cpu, inactive, active int64
	if dir, v1 := g.dir("cpuacct", id); v1 {
		read(&cpu, dir, "cpuacct.usage", "")
	} else {
		dir, _ = g.dir("cpu", id)
		read(&cpu, dir, "cpu.stat", "usage_usec")
		cpu *= int64(time.Microsecond)
	}
	if dir, v1 := g.dir("memory", id); v1 {
		read(&m.MemoryBytes, dir, "memory.usage_in_bytes", "")
		read(&m.MemoryLimit, dir, "memory.limit_in_bytes", "")
		read(&inactive, dir, "memory.stat", "total_inactive_file")
		read(&active, dir, "memory.stat", "total_active_file")
	} else {
		read(&m.MemoryBytes, dir, "memory.current", "")
		read(&m.MemoryLimit, dir, "memory.max", "")
		read(&inactive, dir, "memory.stat", "inactive_file")
		read(&active, dir, "memory.stat", "active_file")
	}
	dir, _ := g.dir("pids", id)
	read(&m.Pids, dir, "pids.current", "")
	m.CPU = time.Duration(cpu)
	m.MemoryBytes = max(0, m.MemoryBytes-inactive-active)
	if m.MemoryLimit >= noLimit {
		m.MemoryLimit = 0
	}
	return m, errors.Join(errs...)
}

// noLimit and above is how version 1 writes that there is none.
const noLimit = 1 << 62

// readKey reads a number from a file of one number, or of lines "key number"
// if a key is given. "max" is 0.
func readKey(path, key string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case key == "" && len(f) == 1 && f[0] == "max":
			return 0, nil
		case key == "" && len(f) == 1:
			return strconv.ParseInt(f[0], 10, 64)
		case key != "" && len(f) == 2 && f[0] == key:
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %q", path, key)
}
