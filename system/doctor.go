package system

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
)

// Doctor looks for what could be in the way of a computer on this machine. It
// changes nothing and needs no computer to be up.
func Doctor(ctx context.Context, data string) ([]api.Check, error) {
	l, err := volvox.LayoutOf(data)
	if err != nil {
		return nil, err
	}
	checks := []api.Check{checkRoot()}
	for _, p := range programs {
		checks = append(checks, checkProgram(ctx, p))
	}
	checks = append(checks, checkCgroups(), checkKernel(), checkClock(), checkDisk(l), checkMemory(), checkApt(), checkData(l), checkAddons(l))
	return checks, nil
}

func ok(name, format string, args ...any) api.Check {
	return api.Check{Name: name, State: api.CheckOK, Message: fmt.Sprintf(format, args...)}
}

func warn(name, try, format string, args ...any) api.Check {
	return api.Check{Name: name, State: api.CheckWarn, Message: fmt.Sprintf(format, args...), Try: try}
}

func fail(name, try, format string, args ...any) api.Check {
	return api.Check{Name: name, State: api.CheckFail, Message: fmt.Sprintf(format, args...), Try: try}
}

func checkRoot() api.Check {
	if os.Geteuid() != 0 {
		return fail("root", "sudo volvox doctor", "this is user %d; containers and their network need root", os.Geteuid())
	}
	return ok("root", "this is root")
}

// program is something that the computer runs.
type program struct {
	name    string
	pkg     string // the Debian package that has it
	version string // the flag that prints one
	needed  bool   // without it nothing runs
}

var programs = []program{
	{"containerd", "containerd", "--version", true},
	{"containerd-shim-runc-v2", "containerd", "-v", true},
	{"runc", "runc", "--version", true},
	{"nft", "nftables", "--version", false},
	{"ip", "iproute2", "-V", false},
}

func checkProgram(ctx context.Context, p program) api.Check {
	path, err := exec.LookPath(p.name)
	if err != nil {
		if p.needed {
			return fail(p.name, "apt-get install "+p.pkg, "not found on the PATH")
		}
		return warn(p.name, "apt-get install "+p.pkg, "not found on the PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, p.version).CombinedOutput()
	if err != nil {
		return fail(p.name, "apt-get install --reinstall "+p.pkg, "%s does not run: %v", path, err)
	}
	return ok(p.name, "%s", versionLine(path, string(out)))
}

// versionLine is what a program says about its version: the first line, or
// where that is only its path, the one named so.
func versionLine(path, out string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if strings.TrimSpace(line) != path+":" {
		return strings.TrimSpace(line)
	}
	for line := range strings.Lines(rest) {
		if name, version, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "Version" {
			return strings.TrimSpace(version)
		}
	}
	return path
}

func checkCgroups() api.Check {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		b, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !strings.Contains(" "+string(b)+" ", c) {
				return fail("cgroups", "enable the controller in the kernel's command line", "version 2 without the controller %s", c)
			}
		}
		return ok("cgroups", "version 2")
	}
	for _, c := range []string{"cpu", "memory", "pids"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + c); err != nil {
			return fail("cgroups", "mount the control groups, as systemd does at boot", "version 1 without the controller %s", c)
		}
	}
	return ok("cgroups", "version 1")
}

// checkKernel reads the kernel's configuration, where it shows one.
func checkKernel() api.Check {
	options, err := kernelOptions()
	if err != nil {
		return warn("kernel", "", "its configuration cannot be read (%v); features show when they are used", err)
	}
	var missing []string
	for _, o := range []string{"CONFIG_VETH", "CONFIG_NF_TABLES", "CONFIG_NET_NS", "CONFIG_PID_NS", "CONFIG_SECCOMP_FILTER", "CONFIG_CFS_BANDWIDTH"} {
		if options[o] != "y" && options[o] != "m" {
			missing = append(missing, o)
		}
	}
	if len(missing) > 0 {
		return fail("kernel", "boot a kernel that has them, such as Debian's", "built without %s", strings.Join(missing, ", "))
	}
	return ok("kernel", "%s has what is needed", kernelRelease())
}

func kernelOptions() (map[string]string, error) {
	var r io.Reader
	if f, err := os.Open("/proc/config.gz"); err == nil {
		defer f.Close()
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	} else {
		f, err := os.Open("/boot/config-" + kernelRelease())
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	options := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			options[name] = value
		}
	}
	return options, lines.Err()
}

func kernelRelease() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

func checkClock() api.Check {
	if now := time.Now(); now.Year() < 2025 {
		return fail("clock", "set the clock, for instance with chrony", "it says %s", now.Format(time.RFC3339))
	}
	return ok("clock", "%s", time.Now().UTC().Format(time.RFC3339))
}

func checkDisk(l volvox.Layout) api.Check {
	dir := l.Data
	var s syscall.Statfs_t
	for syscall.Statfs(dir, &s) != nil && dir != "/" {
		dir = parentOf(dir)
	}
	free, all := int64(s.Bavail)*s.Bsize, int64(s.Blocks)*s.Bsize
	message := fmt.Sprintf("%s free of %s at %s", volvox.ShowBytes(free), volvox.ShowBytes(all), dir)
	switch {
	case free < 1<<30:
		return fail("disk", "free disk space, or name another directory with --data", "%s", message)
	case free < 5<<30:
		return warn("disk", "free disk space before creating databases", "%s", message)
	default:
		return ok("disk", "%s", message)
	}
}

func parentOf(dir string) string {
	i := strings.LastIndexByte(dir, '/')
	if i <= 0 {
		return "/"
	}
	return dir[:i]
}

func checkMemory() api.Check {
	var s syscall.Sysinfo_t
	if err := syscall.Sysinfo(&s); err != nil {
		return warn("memory", "", "%v", err)
	}
	total := int64(s.Totalram) * int64(s.Unit)
	if total < 1<<30 {
		return warn("memory", "use a machine with 2 GiB or more", "%s in all", volvox.ShowBytes(total))
	}
	return ok("memory", "%s in all", volvox.ShowBytes(total))
}

// checkApt looks for a source of packages, from which images are made.
func checkApt() api.Check {
	for _, f := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d"} {
		if s, err := os.Stat(f); err == nil && (s.IsDir() || s.Size() > 0) {
			return ok("packages", "apt sources are at %s", f)
		}
	}
	return warn("packages", "write /etc/apt/sources.list, or use file: images", "this machine has no apt sources, from which images of engines are made")
}

func checkData(l volvox.Layout) api.Check {
	s, err := os.Stat(l.Data)
	switch {
	case os.IsNotExist(err):
		return ok("data", "%s is not there yet; `volvox up` makes it", l.Data)
	case err != nil:
		return fail("data", "become its owner", "%v", err)
	case !s.IsDir():
		return fail("data", "name a directory with --data", "%s is not a directory", l.Data)
	case s.Mode().Perm()&0o077 != 0:
		return warn("data", "chmod 700 "+l.Data, "%s can be read by other users", l.Data)
	}
	return ok("data", "%s", l.Data)
}

// checkAddons reads the addons that people have put into the data directory.
func checkAddons(l volvox.Layout) api.Check {
	own, broken, err := ownAddons(l)
	switch {
	case err != nil:
		return warn("addons", "", "they cannot be read: %v", err)
	case len(broken) > 0:
		return fail("addons", "mend it, or move it away: "+ownDir(l), "%s", brokenWords(broken))
	case len(own) > 0:
		return ok("addons", "%d in %s, beside those that come with the program", len(own), ownDir(l))
	default:
		return ok("addons", "those that come with the program")
	}
}
