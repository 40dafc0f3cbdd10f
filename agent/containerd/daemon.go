package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/volvox-os/volvox"
	"golang.org/x/sys/unix"
)

// maxDaemonLog is how large containerd's own log grows before it is emptied.
const maxDaemonLog = 8 << 20

// pulse is how often containerd is asked whether it still answers.
const pulse = 15 * time.Second

// daemon keeps one containerd running. Exactly one process of it supervises
// (see lockFile).
type daemon struct {
	opt    Options
	ns     string
	config string
	socket string
	logAt  string
	log    *slog.Logger
	groups cgroups

	mu      sync.Mutex
	link    *link         // nil while there is none
	why     error         // why there is none
	changed chan struct{} // closed and replaced when link or why change
	closed  bool          // there will be no other link
}

func newDaemon(opt Options, ns string) *daemon {
	return &daemon{
		opt: opt, ns: ns, log: opt.Log,
		config:  filepath.Join(opt.Run, "containerd.toml"),
		socket:  filepath.Join(opt.Run, "containerd.sock"),
		logAt:   filepath.Join(opt.Run, "containerd.log"),
		changed: make(chan struct{}),
	}
}

// state is containerd's directory for what does not survive a boot.
func (d *daemon) state() string { return filepath.Join(d.opt.Run, "containerd") }

// files returns all that the daemon leaves in the run directory.
func (d *daemon) files() []string {
	return []string{d.config, d.socket, d.socket + ".ttrpc", d.logAt, d.state()}
}

// supervise keeps containerd running until ctx ends, and lets go of it then.
func (d *daemon) supervise(ctx context.Context) {
	delay := time.Duration(0) // grows while containerd does not even come up
	for ctx.Err() == nil {
		answered, err := d.serve(ctx)
		if ctx.Err() != nil {
			break
		}
		d.set(nil, err)
		d.log.Warn("containerd is gone; starting it again", "cause", err)
		if answered {
			delay = 0
		} else {
			delay = min(max(2*delay, 50*time.Millisecond), 5*time.Second)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.set(nil, errClosed)
}

// serve finds or starts one containerd and returns when it has ended, or was
// ended because it does not answer, or ctx has ended. It says whether that one
// ever answered.
func (d *daemon) serve(ctx context.Context) (answered bool, err error) {
	p, err := d.find()
	if err != nil {
		return false, err
	}
	adopted := p != nil
	if !adopted {
		if p, err = d.start(); err != nil {
			return false, err
		}
	}
	defer p.close()
	if err := d.groups.adopt(p.pid); err != nil {
		d.log.Warn("containerd ends with what it was started in", "cause", err)
	}
	l, err := d.connect(ctx, p)
	if err != nil {
		if ctx.Err() == nil {
			p.signal(unix.SIGKILL)
			<-p.ended
		}
		return false, err
	}
	d.log.Info("containerd answers", "pid", p.pid, "adopted", adopted)
	d.set(l, nil)
	defer l.close()
	return true, d.watch(ctx, p, l)
}

// watch returns when the process has ended; it ends one that hangs.
func (d *daemon) watch(ctx context.Context, p *process, l *link) error {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return fmt.Errorf("containerd (process %d) has ended", p.pid)
		case <-tick.C:
		}
		if info, err := os.Stat(d.logAt); err == nil && info.Size() > maxDaemonLog {
			os.Truncate(d.logAt, 0)
		}
		ask, cancel := context.WithTimeout(ctx, 3*d.opt.Hang)
		err := l.ask(ask)
		cancel()
		if errors.Is(ask.Err(), context.DeadlineExceeded) && err != nil && ctx.Err() == nil {
			p.signal(unix.SIGKILL)
			<-p.ended
			return fmt.Errorf("containerd (process %d) did not answer for %v and was killed", p.pid, 3*d.opt.Hang)
		}
	}
}

// is says whether arguments are those of our containerd.
func (d *daemon) is(args []string) bool {
	return len(args) == 3 && filepath.Base(args[0]) == "containerd" && args[1] == "--config" && args[2] == d.config
}

// find returns the containerd that runs, nil if none does. A containerd that
// has forked and not yet executed its shim looks like a second one; it is
// told by its parent. Real second ones, which can do nothing since the first
// holds the lock on the state, are ended.
func (d *daemon) find() (*process, error) {
	var found []stat
	for _, pid := range findProcesses(d.is) {
		if s, ok := readStat(pid); ok {
			found = append(found, s)
		}
	}
	roots := slices.DeleteFunc(slices.Clone(found), func(s stat) bool {
		return slices.ContainsFunc(found, func(p stat) bool { return p.pid == s.parent })
	})
	slices.SortFunc(roots, func(a, b stat) int { return int(int64(a.start - b.start)) })
	var first *process
	for _, s := range roots {
		p, err := holdProcess(s.pid)
		if errors.Is(err, unix.ESRCH) || err == nil && !d.is(readArgs(s.pid)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = p
			continue
		}
		p.signal(unix.SIGKILL)
		<-p.ended
		p.close()
	}
	return first, nil
}

// start starts a containerd that outlives this process.
func (d *daemon) start() (*process, error) {
	if err := d.writeConfig(); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(d.logAt, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(d.opt.Binary, "--config", d.config)
	cmd.Args[0] = "containerd"
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	p, err := holdProcess(cmd.Process.Pid) // our child, so its number is not used again before Wait
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	go cmd.Wait()
	return p, nil
}

// connect returns a connection to the process once it answers. It fails when
// the process ends or leaves the question unanswered for too long.
func (d *daemon) connect(ctx context.Context, p *process) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opt.Hang)
	defer cancel()
	go func() {
		select {
		case <-p.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	l, err := dial(p.pid, d.socket, d.ns)
	if err != nil {
		return nil, err
	}
	if err := l.ask(ctx); err != nil {
		l.close()
		if p.gone.Load() {
			return nil, fmt.Errorf("containerd ended at its start: %s", d.lastWords())
		}
		return nil, fmt.Errorf("containerd (process %d) does not answer: %w", p.pid, err)
	}
	if !d.is(readArgs(p.pid)) {
		l.close()
		return nil, fmt.Errorf("process %d is not containerd", p.pid)
	}
	return l, nil
}

// lastWords returns the end of containerd's log.
func (d *daemon) lastWords() string {
	b, _ := os.ReadFile(d.logAt)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// end ends containerd; nobody may be supervising.
func (d *daemon) end(ctx context.Context) error {
	p, err := d.find()
	if err != nil || p == nil {
		return err
	}
	defer p.close()
	if err := p.signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("end containerd: %w", err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("end containerd: %w", err)
	}
	<-p.ended
	return nil
}

// set publishes the present connection, or why there is none.
func (d *daemon) set(l *link, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link, d.why = l, why
	close(d.changed)
	d.changed = make(chan struct{})
}

// get returns the present connection. Without one it returns what will tell
// of a change, nil if there will be none.
func (d *daemon) get() (*link, error, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, d.why, nil
	}
	return d.link, d.why, d.changed
}

// first waits for the first connection, through one failure of an adopted
// containerd and one of a new one.
func (d *daemon) first(ctx context.Context) (*link, error) {
	return d.wait(ctx, time.Now().Add(2*d.opt.Hang+d.opt.Patience))
}

// await returns the present connection, waiting for one until the patience,
// counted from since or else from now, is over.
func (d *daemon) await(ctx context.Context, since time.Time) (*link, error) {
	if since.IsZero() {
		since = time.Now()
	}
	return d.wait(ctx, since.Add(d.opt.Patience))
}

func (d *daemon) wait(ctx context.Context, until time.Time) (*link, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		l, why, changed := d.get()
		if l != nil {
			return l, nil
		}
		if changed == nil {
			return nil, why
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, unavailable(why)
		}
	}
}

func unavailable(why error) error {
	return volvox.Errorf(volvox.RuntimeFailed, "containerd does not answer").From(why).
		WithTry("volvox doctor")
}

// writeConfig writes containerd's configuration, whole or not at all.
func (d *daemon) writeConfig() error {
	tmp := d.config + ".new"
	if err := os.WriteFile(tmp, []byte(d.configText()), 0o600); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	if err := os.Rename(tmp, d.config); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	return nil
}

// configText disables what runs no containers: Kubernetes' door, snapshotters
// that need what the machine may not have, and the plugin that writes /opt.
func (d *daemon) configText() string {
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	off := []string{
		"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri",
		"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
		"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.blockfile",
		"io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
	}
	list, _ := json.Marshal(off)
	return fmt.Sprintf(`# Written by Volvox; changes are lost.
version = 2
root = %s
state = %s
oom_score = 0
disabled_plugins = %s

[grpc]
  address = %s
  uid = 0
  gid = 0

[debug]
  level = "warn"
`, quote(d.opt.Root), quote(d.state()), list, quote(d.socket))
}
