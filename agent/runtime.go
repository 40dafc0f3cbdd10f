package agent

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// Runtime runs containers. Its implementations pass agent/runtimetest.
//
// A container has an ID given by the caller. Containers outlive the process
// that started them and the runtime's own daemon.
type Runtime interface {
	// Create makes and starts a container. If one with the ID is there and
	// runs, nothing happens; what a broken attempt or an earlier run left
	// under the ID is removed first.
	Create(ctx context.Context, c Container) error
	// Stop asks the container's program to end with the signal, kills it
	// after the grace, and returns when it has ended. Not there, or ended: nil.
	Stop(ctx context.Context, id, signal string, grace time.Duration) error
	// Remove stops the container at once, if it runs, and removes it and all
	// that the runtime kept for it. Not there: nil.
	Remove(ctx context.Context, id string) error
	// List returns all containers of this computer, running or ended, also
	// half-made ones (State Broken).
	List(ctx context.Context) ([]Status, error)
	// Exec runs a command in a running container and returns its exit code
	// when it has ended. When ctx ends the command and its children are
	// killed and ctx's error is returned. A command is begun once at most; if
	// nobody knows what became of it, it is killed and the error is of kind
	// unavailable. It ends when this process does: the next one to open the
	// runtime sees to that.
	Exec(ctx context.Context, id string, e Exec) (int, error)
	// Events yields what happens to containers until ctx ends. It begins with
	// an event of kind Gap, as soon as it listens, and yields another one
	// whenever it has not listened for a while: whoever lists the containers
	// then misses nothing.
	Events(ctx context.Context) iter.Seq[Event]
	// Metrics returns what the container has used.
	Metrics(ctx context.Context, id string) (Metrics, error)
	// Close lets go of the runtime; containers go on.
	Close() error
}

// Container is what to run.
type Container struct {
	ID      string
	Rootfs  string // directory, used read-only and shared between containers
	Command []string
	Env     []string
	Dir     string
	UID     uint32 // also the GID
	NetNS   string // path of the network namespace; empty: no network at all
	Binds   []Bind
	Limits  instance.Limits
	LogPath string            // stdout and stderr are appended
	Labels  map[string]string // returned by List
}

// Bind makes a directory or file of the machine visible in the container.
type Bind struct {
	Source   string
	Target   string // must exist in Rootfs
	ReadOnly bool
}

// State of a container.
type State string

// The states.
const (
	Up     State = "Up"     // its program runs
	Ended  State = "Ended"  // its program has ended; ExitCode says how
	Broken State = "Broken" // made in part; only Remove or Create helps
)

// Status is a container as the runtime sees it.
type Status struct {
	ID        string
	State     State
	PID       int
	StartedAt time.Time // when it was made, for an ended one too
	EndedAt   time.Time
	ExitCode  int  // 128+n when signal n ended it
	OOMKilled bool // the memory limit ended one of its processes
	Labels    map[string]string
}

// Exec is a command to run in a container, with the container's user, limits
// and files.
type Exec struct {
	ID      string // unique in the container; a second Exec of the same ID is E_BUSY while the first runs; what one of a dead process left is ended first
	Command []string
	Env     []string // added to the container's
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// Event is something that happened to a container.
type Event struct {
	Kind string // "exit", "oom" or "gap"
	ID   string // the container; empty for a gap
}

// Metrics are totals since the container started, and the present memory.
type Metrics struct {
	CPU         time.Duration
	MemoryBytes int64 // without reclaimable page cache
	MemoryLimit int64
	Pids        int64
	OOMKills    int64
}

// Network gives instances an address of their own.
type Network interface {
	// Attach makes a network namespace in which the address is reachable from
	// this machine, and returns its path. Attached already: the same path.
	Attach(ctx context.Context, id, address string) (netns string, err error)
	// Detach removes it. Not there: nil.
	Detach(ctx context.Context, id string) error
	// List returns the IDs that are attached, also in part.
	List(ctx context.Context) ([]string, error)
}

// Images brings root file systems to the machine.
type Images interface {
	// Ensure returns the directory of the image, fetching it if it is not
	// there; progress, which may be nil, is told what is being done.
	Ensure(ctx context.Context, ref string, progress func(string)) (Image, error)
	// Collect removes images that are none of those in use.
	Collect(ctx context.Context, inUse []string) (removed []Image, err error)
}

// Image is an image on this machine.
type Image struct {
	Ref      string
	Digest   string // sha256:… of its recorded contents
	Rootfs   string
	Bytes    int64
	Packages []machine.Package // what went in, for deb: references
}
