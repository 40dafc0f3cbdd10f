package containerd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// process is a process that need not be our child, held by a pidfd: signals
// never reach another process that got its number later.
type process struct {
	pid   int
	file  *os.File
	ended chan struct{} // closed when the process has ended, or at close
	gone  atomic.Bool   // the process has ended
}

// holdProcess takes hold of the process; one that is not there is an error.
func holdProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("hold process %d: %w", pid, err)
	}
	p := &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd"), ended: make(chan struct{})}
	raw, err := p.file.SyscallConn()
	if err != nil {
		p.file.Close()
		return nil, fmt.Errorf("hold process %d: %w", pid, err)
	}
	go func() {
		defer close(p.ended)
		raw.Read(func(fd uintptr) bool {
			set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(set, 0)
			if n > 0 && err == nil {
				p.gone.Store(true)
			}
			return p.gone.Load()
		})
	}()
	return p, nil
}

// signal sends the signal; a process that has ended gets none.
func (p *process) signal(sig unix.Signal) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if sent == unix.ESRCH {
		return nil
	}
	return sent
}

// close lets go of the process.
func (p *process) close() { p.file.Close() }

// stat is what the scheduler's view of a process says.
type stat struct {
	pid, parent, session int
	state                byte
	start                uint64 // in ticks since the boot
}

// readStat returns false for a process that is not there.
func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The name, in parentheses, may hold anything; the fields follow the last one.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return stat{}, false
	}
	s := stat{pid: pid, state: f[0][0]}
	s.parent, _ = strconv.Atoi(f[1])
	s.session, _ = strconv.Atoi(f[3])
	s.start, _ = strconv.ParseUint(f[19], 10, 64)
	return s, true
}

// readArgs returns a process's argument vector; nil when it has none or is
// not there.
func readArgs(pid int) []string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// findProcesses returns the processes of our own user whose arguments satisfy
// the condition. Others can give themselves what arguments they like.
func findProcesses(is func(args []string) bool) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var found []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err == nil && is(readArgs(pid)) && isOurs(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// isOurs says whether a process runs as our user. The owner of its directory
// in /proc would not tell: a process can make that root.
func isOurs(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), "\nUid:\t")
	uid, _, _ := strings.Cut(rest, "\t")
	return uid == strconv.Itoa(os.Getuid())
}
