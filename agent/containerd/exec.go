package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

// execution is one Exec. Its ID in containerd follows from the caller's, so
// that after a loss of containerd the shim can be asked what became of it.
type execution struct {
	r    *Runtime
	id   string // of the container
	exec string // containerd's ID
	e    agent.Exec
	io   *streams
}

// Exec runs the command, at most once. A command that runs goes on when
// containerd dies, and its result is not lost; if containerd dies in the
// moment when the command begins, or the container's shim dies, nobody knows
// the result: the command is killed, and the error is E_UNAVAILABLE. Children that the command leaves in the background go
// on when it has ended; their output is no longer read after a moment of
// silence. A command cannot outlive this process: the next Open ends it.
func (r *Runtime) Exec(ctx context.Context, id string, e agent.Exec) (int, error) {
	if len(e.Command) == 0 || e.ID == "" {
		return 0, volvox.Errorf(volvox.BadInput, "an exec needs an ID and a command")
	}
	sum := sha256.Sum256([]byte(id + "\x00" + e.ID))
	x := &execution{r: r, id: id, exec: "x" + hex.EncodeToString(sum[:12]), e: e}
	if err := r.claim(x.exec, e.ID); err != nil {
		return 0, err
	}
	defer r.release(x.exec)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(errClosed) })()
	code, err := x.run(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errClosed) {
		err = errClosed
	}
	return code, explain(err, "run a command in container %s", id)
}

var errClosed = volvox.Errorf(volvox.RuntimeFailed, "the runtime was closed")

// claim holds the exec's ID and keeps Close waiting.
func (r *Runtime) claim(exec, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return errClosed
	}
	if r.execs[exec] {
		return busyExec(name)
	}
	r.execs[exec] = true
	r.work.Add(1)
	return nil
}

func (r *Runtime) release(exec string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.execs, exec)
	r.work.Done()
}

func busyExec(name string) error {
	return volvox.Errorf(volvox.Busy, "the command %s is still running", name)
}

// run begins the command, waits for its end, and clears away what was needed.
func (x *execution) run(ctx context.Context) (int, error) {
	var err error
	if x.io, err = openStreams(filepath.Join(x.r.execDir(), x.exec), x.e); err != nil {
		return 0, err
	}
	defer x.io.close()
	// Giving up in the middle of a step would leave open what became of it.
	steady := context.WithoutCancel(ctx)
	if err := x.register(steady); err != nil {
		return 0, err
	}
	defer x.forget(steady)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	pid, err := x.begin(steady)
	if err != nil {
		return 0, err
	}
	x.io.start(func() { x.closeStdin(steady) })
	code, err := x.wait(ctx)
	if e := ctx.Err(); e != nil {
		err = e
	}
	if err != nil {
		x.end(pid)
		x.io.abandon()
		return 0, err
	}
	x.io.drain(ctx)
	return code, nil
}

// register tells the shim of the command, without starting it.
func (x *execution) register(ctx context.Context) error {
	tried := false
	return x.r.call(ctx, func(ctx context.Context, l *link) error {
		p, err := x.process(ctx, l)
		if err != nil {
			return err
		}
		packed, err := asAny(processURL, p)
		if err != nil {
			return err
		}
		again := tried
		tried = true
		for range 2 {
			_, err = l.tasks.Exec(ctx, &tasksapi.ExecProcessRequest{ContainerID: x.id, ExecID: x.exec, Spec: packed,
				Stdin: x.io.paths[0], Stdout: x.io.paths[1], Stderr: x.io.paths[2]})
			if !errdefs.IsAlreadyExists(err) || again {
				break
			}
			// An earlier process of ours left it.
			if err := x.clear(ctx, l); err != nil {
				return err
			}
		}
		switch {
		case errdefs.IsAlreadyExists(err):
			return nil // by the call that was lost
		case errdefs.IsNotFound(err):
			return notRunning(x.id)
		}
		return err
	})
}

func notRunning(id string) error {
	return volvox.Errorf(volvox.RuntimeFailed, "container %s does not run", id)
}

// process is the container's own process with another command.
func (x *execution) process(ctx context.Context, l *link) (*specs.Process, error) {
	t, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: x.id})
	if err == nil && !isUp(t.Process.Status) {
		return nil, notRunning(x.id)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	got, err := l.containers.Get(ctx, &containersapi.GetContainerRequest{ID: x.id})
	if errdefs.IsNotFound(err) {
		return nil, noContainer(x.id)
	}
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, notRunning(x.id)
	}
	var s specs.Spec
	if err := json.Unmarshal(got.Container.Spec.GetValue(), &s); err != nil || s.Process == nil {
		return nil, fmt.Errorf("read the record of container %s: %w", x.id, errors.Join(err, errdefs.ErrDataLoss))
	}
	p := s.Process
	p.Args = x.e.Command
	p.Env = append(p.Env, x.e.Env...)
	p.Env = append(p.Env, execMark+x.exec)
	return p, nil
}

// clear removes a registered command of the same ID; one that runs is busy.
func (x *execution) clear(ctx context.Context, l *link) error {
	got, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: x.id, ExecID: x.exec})
	if err == nil && isUp(got.Process.Status) {
		return busyExec(x.e.ID)
	}
	_, err = l.tasks.DeleteProcess(ctx, &tasksapi.DeleteProcessRequest{ContainerID: x.id, ExecID: x.exec})
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// begin starts the command and returns its process. It asks for the start
// once. If containerd is lost over it, a command that the shim calls running
// or ended did begin. One that it calls created may have begun all the same:
// the shim gave up on runc when containerd went, at a moment when runc may
// have done its work. So that one is killed, and its result is unknown.
func (x *execution) begin(ctx context.Context) (pid int, err error) {
	asked := false
	err = x.r.call(ctx, func(ctx context.Context, l *link) error {
		got, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: x.id, ExecID: x.exec})
		if errdefs.IsNotFound(err) {
			return unknownResult(x.id)
		}
		if err != nil {
			return err
		}
		if got.Process.Status != task.Status_CREATED {
			pid = int(got.Process.Pid)
			return nil
		}
		if asked {
			x.r.killExec(x.id, x.exec, 0)
			return unknownResult(x.id)
		}
		asked = true
		started, err := l.tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: x.id, ExecID: x.exec})
		if err == nil {
			pid = int(started.Pid)
		}
		return err
	})
	return pid, err
}

func unknownResult(id string) error {
	return volvox.Errorf(volvox.Unavailable, "what became of the command is unknown").
		Because("containerd, or container %s, ended before it answered", id)
}

// wait returns the command's exit code when it has ended.
func (x *execution) wait(ctx context.Context) (code int, err error) {
	err = x.r.call(ctx, func(ctx context.Context, l *link) error {
		got, err := l.tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: x.id, ExecID: x.exec})
		if errdefs.IsNotFound(err) {
			return unknownResult(x.id)
		}
		code = int(got.GetExitStatus())
		return err
	})
	return code, err
}

// end kills the command and its children, and waits for it a while.
func (x *execution) end(pid int) {
	x.r.killExec(x.id, x.exec, pid)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := x.wait(ctx); err != nil {
		x.r.log.Warn("a command was killed and its end is not known", "container", x.id, "cause", err)
	}
}

// forget makes the shim forget the command.
func (x *execution) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := x.r.call(ctx, func(ctx context.Context, l *link) error { return x.clear(ctx, l) })
	if err != nil && x.r.ctx.Err() == nil {
		x.r.log.Warn("a command could not be cleared away", "container", x.id, "cause", err)
	}
}

// closeStdin tells the command that there is no more input.
func (x *execution) closeStdin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, x.r.opt.Patience)
	defer cancel()
	x.r.call(ctx, func(ctx context.Context, l *link) error {
		_, err := l.tasks.CloseIO(ctx, &tasksapi.CloseIORequest{ContainerID: x.id, ExecID: x.exec, Stdin: true})
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// execDir holds the fifos of commands.
func (r *Runtime) execDir() string { return filepath.Join(r.opt.Run, "exec") }

// endStrays ends the commands that an earlier process was executing. Their
// IDs are known by the marks of processes, and by the fifos: a command may be
// just about to begin. It returns those that the fifos tell of.
func (r *Runtime) endStrays(ctx context.Context, l *link) (begun []string, err error) {
	// A shim that begins a command waits for somebody to read its output, and
	// meanwhile takes note of no end in the container.
	fifos, err := filepath.Glob(filepath.Join(r.execDir(), "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range fifos {
		if f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
			defer f.Close()
		}
		if exec := filepath.Base(filepath.Dir(path)); !slices.Contains(begun, exec) {
			begun = append(begun, exec)
		}
	}
	for _, id := range r.cgroups.list() {
		execs := r.killStrays(id)
		for _, exec := range begun {
			if !slices.Contains(execs, exec) {
				execs = append(execs, exec)
			}
		}
		for _, exec := range execs {
			if err := r.endStray(ctx, l, id, exec); err != nil {
				r.log.Warn("a stray command could not be cleared away", "container", id, "cause", err)
			}
		}
	}
	return begun, os.RemoveAll(r.execDir())
}

// endLateStrays ends strays that were beginning while they were looked for:
// runc was killed over it, but not what it had put into the container, which
// has no mark before it executes the command.
func (r *Runtime) endLateStrays(ctx context.Context, begun []string) {
	if len(begun) == 0 {
		return
	}
	stray := func(pid int) bool {
		exec := markOf(pid)
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(begun, exec) && !r.execs[exec]
	}
	for _, wait := range []time.Duration{200 * time.Millisecond, time.Second, 5 * time.Second} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		for _, id := range r.cgroups.list() {
			r.killWhile(id, func(s stat, family map[int]bool) bool { return family[s.parent] || stray(s.pid) })
		}
	}
}

// endStray ends one command, if the container has it. The shim answers for a
// command that is beginning only when it has begun, or failed to.
func (r *Runtime) endStray(ctx context.Context, l *link, id, exec string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: id, ExecID: exec})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isUp(got.Process.Status) {
		r.killExec(id, exec, 0)
	} else {
		r.killExec(id, exec, int(got.Process.Pid))
		if _, err := l.tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: id, ExecID: exec}); err != nil {
			return err
		}
	}
	x := &execution{r: r, id: id, exec: exec}
	return x.clear(ctx, l)
}
