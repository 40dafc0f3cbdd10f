package containerd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// execMark begins an entry in the environment of every command executed in a
// container and, by inheritance, of its children. It names containerd's ID of
// the command.
const execMark = "VOLVOX_EXEC="

// markOf returns the ID in a process's environment, empty if it has none.
func markOf(pid int) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return ""
	}
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		if id, ok := strings.CutPrefix(string(entry), execMark); ok {
			return id
		}
	}
	return ""
}

// killExec kills a command and its children, also those that have left its
// process tree: a child is known by its ancestors, its session or the mark in
// its environment. One that gets rid of all three is the container's. The
// leader is 0 if it is not known.
func (r *Runtime) killExec(id, exec string, leader int) {
	r.killWhile(id, func(s stat, family map[int]bool) bool {
		return leader > 0 && (s.pid == leader || s.session == leader) || family[s.parent] || markOf(s.pid) == exec
	})
}

// killStrays kills all marked processes in a container and returns the IDs of
// their commands.
func (r *Runtime) killStrays(id string) []string {
	var execs []string
	r.killWhile(id, func(s stat, family map[int]bool) bool {
		exec := markOf(s.pid)
		if exec != "" && !slices.Contains(execs, exec) {
			execs = append(execs, exec)
		}
		return exec != "" || family[s.parent]
	})
	return execs
}

// killWhile kills the container's processes that satisfy the condition until
// there are none: one may fork while the others are read. family holds those
// found already, so that their children are told by it.
func (r *Runtime) killWhile(id string, is func(s stat, family map[int]bool) bool) {
	family := map[int]bool{}
	for range 500 {
		alive := false
		for _, s := range r.processes(id) {
			if !is(s, family) {
				continue
			}
			family[s.pid] = true
			if s.state != 'Z' && s.state != 'X' {
				alive = true
				killProcess(s, func() bool { now, ok := readStat(s.pid); return ok && now.start == s.start })
			}
		}
		if !alive {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// killProcess kills the process if it still is the one that was seen.
func killProcess(s stat, still func() bool) {
	fd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if still() {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			unix.Kill(s.pid, unix.SIGKILL)
		}
	}
}

// processes returns the container's processes, parents first.
func (r *Runtime) processes(id string) []stat {
	var all []stat
	for _, pid := range r.cgroups.pids(id) {
		if s, ok := readStat(pid); ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b stat) int { return int(int64(a.start - b.start)) })
	return all
}
