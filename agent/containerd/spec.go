package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	runcapi "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// How containerd calls what it is given.
const (
	runtimeName = "io.containerd.runc.v2"
	specURL     = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
	processURL  = "types.containerd.io/opencontainers/runtime-spec/1/Process"
	optionsURL  = "containerd.runc.v1.Options"
)

const (
	minShm     = 64 << 20 // bytes of /dev/shm, whatever the memory limit
	maxFiles   = 65536    // open files of a process, if the machine allows as many
	cpuPeriod  = 100_000  // microseconds
	searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// spec says how the container is isolated. Nothing in it can be switched off
// by the caller: an ordinary uid without capabilities and without a way to
// gain any, the default seccomp filter, a read-only root, its own pid, mount,
// ipc and uts namespaces, and a network namespace that is the given one or
// an empty one.
func (r *Runtime) spec(ctx context.Context, l *link, c agent.Container) (*specs.Spec, error) {
	if err := checkTargets(c); err != nil {
		return nil, err
	}
	ctx = namespaces.WithNamespace(ctx, r.ns)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: c.ID}, oci.WithoutRunMount)
	if err != nil {
		return nil, fmt.Errorf("make a specification: %w", err)
	}
	s.Root = &specs.Root{Path: c.Rootfs, Readonly: true}
	s.Hostname = c.Labels["name"]
	if s.Hostname == "" {
		s.Hostname = c.ID
	}
	p := s.Process
	p.Args, p.Env, p.Cwd = c.Command, withPath(c.Env), c.Dir
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	p.User = specs.User{UID: c.UID, GID: c.UID}
	p.Capabilities = &specs.LinuxCapabilities{}
	p.NoNewPrivileges = true
	files, err := fileLimit(l.pid)
	if err != nil {
		return nil, err
	}
	p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: files, Soft: files}}
	s.Linux.CgroupsPath = r.cgroups.path(c.ID)
	s.Linux.Seccomp = seccomp.DefaultProfile(s) // reads the capabilities
	for i := range s.Linux.Namespaces {
		if n := &s.Linux.Namespaces[i]; n.Type == specs.NetworkNamespace {
			n.Path = c.NetNS
		}
	}
	r.limit(s, c)
	for _, b := range c.Binds {
		mode := "rw"
		if b.ReadOnly {
			mode = "ro"
		}
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: b.Source, Destination: b.Target,
			Options: []string{"rbind", "rprivate", "nosuid", "nodev", mode}})
	}
	return s, nil
}

// limit applies the limits. /dev/shm counts as memory, so that it may be half
// of the memory does no harm.
func (r *Runtime) limit(s *specs.Spec, c agent.Container) {
	l, res := c.Limits, s.Linux.Resources
	if l.CPUMillis > 0 {
		quota, period := max(l.CPUMillis*cpuPeriod/1000, 1000), uint64(cpuPeriod)
		shares := uint64(max(l.CPUMillis*1024/1000, 2))
		res.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares}
	}
	if l.MemoryBytes > 0 {
		limit := l.MemoryBytes
		res.Memory = &specs.LinuxMemory{Limit: &limit}
		if r.cgroups.limitsSwap() {
			res.Memory.Swap = &limit // of both together: no swap
		}
	}
	if l.Pids > 0 {
		pids := l.Pids
		res.Pids = &specs.LinuxPids{Limit: &pids}
	}
	shm := max(minShm, l.MemoryBytes/2)
	for i := range s.Mounts {
		if m := &s.Mounts[i]; m.Destination == "/dev/shm" {
			m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return strings.HasPrefix(o, "size=") })
			m.Options = append(m.Options, fmt.Sprintf("size=%d", shm))
		}
	}
}

// checkTargets refuses a bind whose target is neither in the image nor below
// an earlier bind: runc would make it, in a directory that is shared between
// containers.
func checkTargets(c agent.Container) error {
	for n, b := range c.Binds {
		if !filepath.IsAbs(b.Target) {
			return volvox.Errorf(volvox.BadInput, "the mount target %q is not absolute", b.Target)
		}
		inside := slices.ContainsFunc(c.Binds[:n], func(outer agent.Bind) bool {
			return strings.HasPrefix(filepath.Clean(b.Target), filepath.Clean(outer.Target)+"/")
		})
		if _, err := os.Lstat(filepath.Join(c.Rootfs, b.Target)); err != nil && !inside {
			return volvox.Errorf(volvox.BadImage, "the image has no %s to mount on", b.Target).From(err)
		}
		if _, err := os.Stat(b.Source); err != nil {
			return volvox.Errorf(volvox.RuntimeFailed, "there is nothing to mount at %s", b.Target).From(err)
		}
	}
	return nil
}

// withPath adds the usual search path to an environment without one.
func withPath(env []string) []string {
	if slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		return env
	}
	return append([]string{searchPath}, env...)
}

// fileLimit returns how many files a container's process may have open: not
// more than containerd's hard limit, which only a privilege that it may lack
// can exceed.
func fileLimit(containerd int) (uint64, error) {
	var own unix.Rlimit
	if err := unix.Prlimit(containerd, unix.RLIMIT_NOFILE, nil, &own); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return min(maxFiles, own.Max), nil
}

// runcOptions tells the shim which runc to run, where it keeps its state, and
// that the container's user owns the pipes of its output, so that a program
// can open /dev/stdout.
func (r *Runtime) runcOptions(uid uint32) (*anypb.Any, error) {
	b, err := proto.Marshal(&runcapi.Options{BinaryName: r.opt.RuncBinary, Root: r.runcRoot(), IoUid: uid, IoGid: uid})
	if err != nil {
		return nil, fmt.Errorf("write the options of runc: %w", err)
	}
	return &anypb.Any{TypeUrl: optionsURL, Value: b}, nil
}

// runcRoot is where runc keeps state, by namespace.
func (r *Runtime) runcRoot() string { return filepath.Join(r.opt.Run, "runc") }

func asAny(url string, v any) (*anypb.Any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a specification: %w", err)
	}
	return &anypb.Any{TypeUrl: url, Value: b}, nil
}
