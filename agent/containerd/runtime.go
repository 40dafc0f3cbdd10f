// Package containerd is the [agent.Runtime] that runs containers with
// containerd and runc.
//
// It owns a containerd of its own: a child process with its own
// configuration, root, state and socket, which does not know of any other
// containerd on the machine. That process outlives the one that started it;
// the next [Open] adopts it. When it dies it is started again, and calls made
// meanwhile wait for it.
//
// A container is a record in containerd (what to run, its labels) and a task
// (the process, kept by a shim that outlives containerd). There are no images
// and no snapshots: a root directory is given, and used read-only. Making the
// two is not atomic, so everything here is repairable by ID: Create and
// Remove begin by removing whatever an earlier attempt has left, wherever it
// died, and List shows such leftovers as Broken.
//
// What is kept where:
//
//	Root       containerd's durable state: the records
//	Run        its socket, log and configuration, the state of shims and runc,
//	           the fifos of commands being executed
//	cgroups    /volvox-<computer>/<container>, in every hierarchy, and
//	           /volvox-<computer>/_own, for containerd and the shims
//
// One process at a time may have a computer's runtime open; a second Open
// fails with E_BUSY.
package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

// Options say where the runtime lives.
type Options struct {
	Binary     string // the containerd program; empty: from PATH
	RuncBinary string // empty: from PATH
	Root       string // directory for durable state
	Run        string // directory on tmpfs; short, since socket paths are limited to 107 bytes
	Computer   string // six hex digits; namespace and cgroups derive from it
	Log        *slog.Logger

	// Patience is how long a call waits for a containerd that has died to be
	// back. Zero is 10 s.
	Patience time.Duration
	// Hang is how long a containerd may leave a question unanswered before it
	// is killed and started again. Zero is 10 s.
	Hang time.Duration
}

// Runtime is an open runtime. It is safe for concurrent use.
type Runtime struct {
	opt     Options
	ns      string // containerd namespace, and name of the parent cgroup
	daemon  *daemon
	hub     *hub
	cgroups cgroups
	lock    *os.File
	log     *slog.Logger

	ctx     context.Context // of what needs containerd; ends first at Close
	close   context.CancelFunc
	work    sync.WaitGroup // execs and the hub
	letGo   context.CancelFunc
	daemons sync.WaitGroup // the supervisor, which ends last

	ids   keyed // one maker or remover of a container at a time
	mu    sync.Mutex
	execs map[string]bool // running, by exec id
}

var _ agent.Runtime = (*Runtime)(nil)

// Open starts the computer's containerd, or adopts the one that runs, and
// returns when it answers. Commands that an earlier process was executing in
// containers are ended: their results could reach nobody.
//
// It fails with E_MISSING_PROGRAM when a program is not installed, E_BUSY
// when another process has this runtime open.
func Open(ctx context.Context, opt Options) (*Runtime, error) {
	r, err := prepare(opt)
	if err != nil {
		return nil, err
	}
	watch, letGo := context.WithCancel(context.Background())
	r.letGo = letGo
	r.daemons.Go(func() { r.daemon.supervise(watch) })
	l, err := r.daemon.first(ctx)
	var strays []string
	if err == nil {
		strays, err = r.endStrays(ctx, l)
	}
	if err != nil {
		r.Close()
		r.cgroups.tidy()
		return nil, fmt.Errorf("open containerd: %w", err)
	}
	r.work.Go(func() { r.hub.run(r.ctx) })
	r.work.Go(func() { r.endLateStrays(r.ctx, strays) })
	return r, nil
}

func prepare(opt Options) (*Runtime, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Patience == 0 {
		opt.Patience = 10 * time.Second
	}
	if opt.Hang == 0 {
		opt.Hang = 10 * time.Second
	}
	for _, p := range []struct {
		path *string
		name string
	}{{&opt.Binary, "containerd"}, {&opt.RuncBinary, "runc"}, {new(string), "containerd-shim-runc-v2"}} {
		if err := findProgram(p.path, p.name); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{opt.Root, opt.Run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open containerd: %w", err)
		}
	}
	lock, err := lockFile(filepath.Join(opt.Run, "containerd.lock"))
	if err != nil {
		return nil, err
	}
	groups, err := findCgroups("/proc/self/mountinfo", "volvox-"+opt.Computer)
	if err != nil {
		lock.Close()
		return nil, err
	}
	r := &Runtime{opt: opt, ns: "volvox-" + opt.Computer, lock: lock, cgroups: groups, log: opt.Log, execs: map[string]bool{}}
	r.ctx, r.close = context.WithCancel(context.Background())
	r.daemon = newDaemon(opt, r.ns)
	r.daemon.groups = groups
	r.hub = newHub(r)
	return r, nil
}

func findProgram(path *string, name string) error {
	if *path == "" {
		*path = name
	}
	full, err := exec.LookPath(*path)
	if err != nil {
		return volvox.Errorf(volvox.MissingProgram, "the program %s is not installed", name).From(err).
			WithTry("apt-get install containerd runc")
	}
	*path = full
	return nil
}

// lockFile takes a lock that ends with this process, however that ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open containerd: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, volvox.Errorf(volvox.Busy, "the container runtime is in use").From(err).
			Because("another process has %s open", filepath.Dir(path))
	}
	return f, nil
}

// Close ends commands being executed and lets go. Containers and containerd
// go on. Called again it does nothing.
func (r *Runtime) Close() error {
	r.detach()
	return ignoreClosed(r.lock.Close())
}

// detach ends all that this process does with containerd.
func (r *Runtime) detach() {
	r.close()
	r.work.Wait()
	r.letGo()
	r.daemons.Wait()
}

// Shutdown ends containerd for good, then closes the runtime. Containers
// that have ended are first let go of by their shims (List tells their end
// from the records afterwards); one that still runs goes on, without
// containerd.
func (r *Runtime) Shutdown(ctx context.Context) error {
	err := r.settle(ctx)
	r.detach()
	if e := r.daemon.end(ctx); e != nil {
		err = errors.Join(err, e)
	}
	r.cgroups.tidy()
	return errors.Join(err, ignoreClosed(r.lock.Close()))
}

// Purge removes every container, ends containerd and removes all that the
// runtime has made on the machine, its two directories' contents included.
func (r *Runtime) Purge(ctx context.Context) error {
	all, err := r.List(ctx)
	if err != nil {
		return fmt.Errorf("purge containerd: %w", err)
	}
	for _, s := range all {
		err = errors.Join(err, r.Remove(ctx, s.ID))
	}
	if err = errors.Join(err, r.Shutdown(ctx)); err != nil {
		return fmt.Errorf("purge containerd: %w", err)
	}
	err = r.cgroups.removeParent()
	for _, path := range append(r.daemon.files(), filepath.Join(r.opt.Run, "runc"), r.execDir(), r.lock.Name(), r.opt.Root) {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("purge containerd: %w", err)
	}
	return nil
}

// call runs f with a connection to containerd. When containerd was lost f is
// run again on the next one, so f must be repeatable; a containerd that stays
// away longer than the patience is an error of kind unavailable.
func (r *Runtime) call(ctx context.Context, f func(context.Context, *link) error) error {
	var lostAt time.Time
	for {
		l, err := r.daemon.await(ctx, lostAt)
		if err != nil {
			return err
		}
		err = f(ctx, l)
		if err == nil || ctx.Err() != nil || !l.lostBy(err) {
			return err
		}
		if lostAt.IsZero() {
			lostAt = time.Now()
		}
		if err := l.pause(ctx, err, lostAt.Add(r.opt.Patience)); err != nil {
			return err
		}
	}
}

// explain turns err into the error that the caller of the runtime sees.
func explain(err error, format string, args ...any) error {
	var known *volvox.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf(format+": %w", append(args, err)...)
	default:
		return volvox.Errorf(volvox.RuntimeFailed, format, args...).From(err)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// keyed is a set of locks by name.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*keyLock
}

type keyLock struct {
	held  chan struct{}
	users int
}

// lock waits for the name's lock or the context's end. The returned function
// unlocks.
func (k *keyed) lock(ctx context.Context, name string) (func(), error) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*keyLock{}
	}
	l := k.locks[name]
	if l == nil {
		l = &keyLock{held: make(chan struct{}, 1)}
		k.locks[name] = l
	}
	l.users++
	k.mu.Unlock()
	release := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, name)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; release() }, nil
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
}
