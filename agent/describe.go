package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/machine"
)

// describe says what this machine has.
func (a *Agent) describe() (machine.Machine, error) {
	m := a.o.Machine
	m.Phase = volvox.Running
	m.Version = volvox.Version
	m.Arch = runtime.GOARCH
	m.BootedAt = time.Now().UTC().Truncate(time.Microsecond)
	m.CPUMillis = int64(runtime.NumCPU()) * 1000
	var err error
	if m.BootID, err = volvox.BootID(); err != nil {
		return m, err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("ask for the kernel: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(u.Release[:])
	m.OS = osName()
	total, err := memory()
	if err != nil {
		return m, err
	}
	m.MemoryBytes = max(0, total-max(512<<20, total/20))
	m.DiskBytes, err = a.dir.space()
	return m, err
}

// osName is what the machine's system calls itself.
func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return "Linux"
}

// memory is the machine's memory in bytes.
func memory() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		if f := strings.Fields(s.Text()); len(f) > 1 && f[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo does not say MemTotal")
}

// space is what volumes may take of the disk: what they take now and what is
// free, less a reserve of 1 GiB.
func (d directories) space() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.volumes(), &s); err != nil {
		return 0, fmt.Errorf("ask for the space of %s: %w", d.volumes(), err)
	}
	free := int64(s.Bavail) * s.Bsize
	// With a slash, since the directory may be a link to one on another disk.
	err := filepath.WalkDir(d.volumes()+"/", func(p string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Dir(p) == d.volumes() && strings.HasPrefix(e.Name(), orphan) {
			return fs.SkipDir // it takes space and is nobody's volume
		}
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				free += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it goes away meanwhile
		}
		return err
	})
	return max(0, free-1<<30), err
}
