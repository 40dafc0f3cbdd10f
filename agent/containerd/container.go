package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

// grace bounds each step of making and removing that a caller who has given
// up no longer waits for.
const grace = 30 * time.Second

var idText = regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)

func checkContainer(c agent.Container) error {
	switch {
	case !idText.MatchString(c.ID) || len(c.ID) > 76:
		return volvox.Errorf(volvox.BadInput, "%q cannot be the ID of a container", c.ID).
			Because("it has letters and digits, with single dots, dashes or underscores between, and at most 76 of them")
	case len(c.Command) == 0:
		return volvox.Errorf(volvox.BadInput, "container %s has no command", c.ID)
	case !filepath.IsAbs(c.Rootfs):
		return volvox.Errorf(volvox.BadInput, "the root %q of container %s is not an absolute path", c.Rootfs, c.ID)
	case c.LogPath != "" && !filepath.IsAbs(c.LogPath):
		return volvox.Errorf(volvox.BadInput, "the log %q of container %s is not an absolute path", c.LogPath, c.ID)
	}
	return nil
}

// Create makes and starts the container. While it works, List calls the
// container Broken.
func (r *Runtime) Create(ctx context.Context, c agent.Container) error {
	if err := checkContainer(c); err != nil {
		return err
	}
	unlock, err := r.ids.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	err = r.call(ctx, func(ctx context.Context, l *link) error {
		t, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: c.ID})
		if err == nil && isUp(t.Process.Status) {
			return nil
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		return r.replace(ctx, l, c)
	})
	return explain(err, "create container %s", c.ID)
}

// replace makes the container in the place of whatever there is. What a
// client has asked containerd for, it goes on doing when the client is
// killed: a removal that is still under way can take away the bundle of the
// new container. So where something was, it is tried more than once.
func (r *Runtime) replace(ctx context.Context, l *link, c agent.Container) error {
	wait := 50 * time.Millisecond
	for left := 4; ; left-- {
		found, err := r.remove(ctx, l, c.ID)
		if err != nil {
			return err
		}
		err = r.make(ctx, l, c)
		if err == nil || ctx.Err() != nil || l.lostBy(err) || left == 0 || !found && !errdefs.IsAlreadyExists(err) {
			return err
		}
		r.log.Info("a container is made once more", "container", c.ID, "cause", err)
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// make makes a container of which nothing is there. If it fails it removes
// what it has made, unless containerd was lost.
func (r *Runtime) make(ctx context.Context, l *link, c agent.Container) (err error) {
	record, err := r.record(ctx, l, c)
	if err != nil {
		return err
	}
	out, err := openLog(c)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil || l.lostBy(err) {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_, e := r.remove(ctx, l, c.ID)
		err = errors.Join(err, e)
	}()
	if _, err := l.containers.Create(ctx, &containersapi.CreateContainerRequest{Container: record}); err != nil {
		return err
	}
	if _, err := l.tasks.Create(ctx, &tasksapi.CreateTaskRequest{ContainerID: c.ID, Stdout: out, Stderr: out}); err != nil {
		return err
	}
	if err := label(ctx, l, c.ID, begunLabel, "true"); err != nil {
		return err
	}
	if _, err = l.tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: c.ID}); err != nil {
		return err
	}
	// Without its bundle, the next containerd would not find the container.
	_, err = os.Stat(filepath.Join(r.bundleDirs()[0], c.ID, "config.json"))
	return err
}

// record is how containerd remembers the container.
func (r *Runtime) record(ctx context.Context, l *link, c agent.Container) (*containersapi.Container, error) {
	s, err := r.spec(ctx, l, c)
	if err != nil {
		return nil, err
	}
	packed, err := asAny(specURL, s)
	if err != nil {
		return nil, err
	}
	opts, err := r.runcOptions(c.UID)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for k, v := range c.Labels {
		labels[callerLabel+k] = v
	}
	return &containersapi.Container{ID: c.ID, Labels: labels, Spec: packed,
		Runtime: &containersapi.Container_Runtime{Name: runtimeName, Options: opts}}, nil
}

// openLog makes the container's log and returns how the shim is told of it.
// The shim appends to it.
func openLog(c agent.Container) (string, error) {
	if c.LogPath == "" {
		return "", nil
	}
	if err := os.MkdirAll(filepath.Dir(c.LogPath), 0o700); err != nil {
		return "", fmt.Errorf("open the log: %w", err)
	}
	f, err := os.OpenFile(c.LogPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the log: %w", err)
	}
	f.Close()
	return (&url.URL{Scheme: "file", Path: filepath.Clean(c.LogPath)}).String(), nil
}

// isUp says whether a container in this state has a program that runs.
func isUp(s task.Status) bool {
	return s == task.Status_RUNNING || s == task.Status_PAUSED || s == task.Status_PAUSING
}

// Stop asks the container's first process to end and kills all of them after
// the grace. A containerd that dies meanwhile does not lengthen the grace.
func (r *Runtime) Stop(ctx context.Context, id, signal string, wait time.Duration) error {
	sig, err := parseSignal(signal)
	if err != nil {
		return err
	}
	asked, deadline := false, time.Now().Add(wait)
	err = r.call(ctx, func(ctx context.Context, l *link) error {
		t, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: id})
		if errdefs.IsNotFound(err) || err == nil && !isUp(t.Process.Status) {
			return nil
		}
		if err != nil {
			return err
		}
		if !asked {
			if err := kill(ctx, l, id, sig, false); err != nil {
				return err
			}
			asked = true
		}
		gentle, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		err = waitEnd(gentle, l, id)
		if err == nil || ctx.Err() != nil || gentle.Err() == nil {
			return err
		}
		if err := kill(ctx, l, id, unix.SIGKILL, true); err != nil {
			return err
		}
		return waitEnd(ctx, l, id)
	})
	return explain(err, "stop container %s", id)
}

func parseSignal(name string) (unix.Signal, error) {
	if name == "" {
		return unix.SIGTERM, nil
	}
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if sig := unix.SignalNum(full); sig != 0 {
		return sig, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		return unix.Signal(n), nil
	}
	return 0, volvox.Errorf(volvox.BadInput, "%q is no signal", name).WithTry("use a name such as SIGTERM")
}

// kill signals the container's first process or all of them. Not there, or
// ended: nil.
func kill(ctx context.Context, l *link, id string, sig unix.Signal, all bool) error {
	_, err := l.tasks.Kill(ctx, &tasksapi.KillRequest{ContainerID: id, Signal: uint32(sig), All: all})
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
		return nil
	}
	return err
}

// waitEnd returns when the container's first process has ended. Not there:
// nil.
func waitEnd(ctx context.Context, l *link, id string) error {
	_, err := l.tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: id})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Remove removes the container, whatever state it is in.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if !idText.MatchString(id) {
		return nil // none can be there
	}
	unlock, err := r.ids.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	err = r.call(ctx, func(ctx context.Context, l *link) error {
		_, err := r.remove(ctx, l, id)
		return err
	})
	return explain(err, "remove container %s", id)
}

// remove removes all that there may be of a container: its task, its record,
// and what only a crash leaves. It says whether anything was there.
func (r *Runtime) remove(ctx context.Context, l *link, id string) (found bool, err error) {
	clean, err := r.removeTask(ctx, l, id)
	if err != nil {
		return false, err
	}
	found = clean || slices.Contains(r.leftovers(), id)
	_, err = l.containers.Delete(ctx, &containersapi.DeleteContainerRequest{ID: id})
	if err != nil && !errdefs.IsNotFound(err) {
		return false, err
	}
	return found || err == nil, r.sweep(ctx, id, clean)
}

// removeTask ends and deletes the task. It says whether there was one and
// containerd has let go of it in order; if not, there may be leftovers.
func (r *Runtime) removeTask(ctx context.Context, l *link, id string) (clean bool, err error) {
	t, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: id})
	if errdefs.IsNotFound(err) {
		// There may be a shim all the same, in which nothing was made yet.
		_, err := l.tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
		if err != nil && (l.lostBy(err) || ctx.Err() != nil) {
			return false, err
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if t.Process.Status != task.Status_STOPPED {
		if err := kill(ctx, l, id, unix.SIGKILL, true); err != nil {
			return false, err
		}
		limited, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if err := waitEnd(limited, l, id); err != nil && limited.Err() == nil {
			return false, err
		}
	}
	_, err = l.tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
	switch {
	case err == nil:
		return true, nil
	case errdefs.IsNotFound(err):
		return false, nil
	case l.lostBy(err) || ctx.Err() != nil:
		return false, err
	}
	// A shim that cannot let go is ended with all it holds; containerd
	// notices and forgets the task.
	r.log.Warn("the shim of a container had to be killed", "container", id, "cause", err)
	if err := r.sweep(ctx, id, false); err != nil {
		return false, err
	}
	_, err = l.tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id})
	if err != nil && !errdefs.IsNotFound(err) {
		return false, err
	}
	return false, nil
}

// List returns the containers that containerd has a record of, and those of
// which only a leftover is there.
func (r *Runtime) List(ctx context.Context) ([]agent.Status, error) {
	var all []agent.Status
	err := r.call(ctx, func(ctx context.Context, l *link) (err error) {
		all, err = r.list(ctx, l)
		return err
	})
	return all, explain(err, "list containers")
}

func (r *Runtime) list(ctx context.Context, l *link) ([]agent.Status, error) {
	records, err := l.containers.List(ctx, &containersapi.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	running, err := l.tasks.List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, err
	}
	tasks := map[string]*task.Process{}
	for _, t := range running.Tasks {
		tasks[t.ID] = t
	}
	var all []agent.Status
	seen := map[string]bool{}
	for _, c := range records.Containers {
		t := tasks[c.ID]
		if t == nil {
			// containerd leaves out a task whose shim is slow to answer.
			got, err := l.tasks.Get(ctx, &tasksapi.GetRequest{ContainerID: c.ID})
			if err != nil && !errdefs.IsNotFound(err) {
				return nil, err
			}
			if err == nil {
				t = got.Process
			}
		}
		seen[c.ID] = true
		all = append(all, r.status(c, t))
	}
	leftovers := r.leftovers()
	for id := range tasks {
		leftovers = append(leftovers, id)
	}
	for _, id := range leftovers {
		if !seen[id] {
			seen[id] = true
			all = append(all, agent.Status{ID: id, State: agent.Broken})
		}
	}
	slices.SortFunc(all, func(a, b agent.Status) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// status puts together what is known of a container; t may be nil.
func (r *Runtime) status(c *containersapi.Container, t *task.Process) agent.Status {
	s := agent.Status{ID: c.ID, State: agent.Broken, StartedAt: c.CreatedAt.AsTime(), Labels: map[string]string{}}
	for k, v := range c.Labels {
		if name, ok := strings.CutPrefix(k, callerLabel); ok {
			s.Labels[name] = v
		}
	}
	end, ended := readEnding(c.Labels)
	s.OOMKilled = end.OOM || r.cgroups.limitKilled(c.ID)
	switch {
	case t != nil && isUp(t.Status):
		s.State, s.PID = agent.Up, int(t.Pid)
	case !hasBegun(c.Labels): // Broken
	case t != nil && t.Status == task.Status_STOPPED:
		s.State, s.ExitCode, s.EndedAt = agent.Ended, int(t.ExitStatus), t.ExitedAt.AsTime()
	case t == nil && ended:
		s.State, s.ExitCode, s.EndedAt = agent.Ended, end.Code, end.At
	}
	return s
}

// Metrics reads the container's control groups, so it needs no containerd.
// An ended container has them until it is removed or the machine restarts.
func (r *Runtime) Metrics(_ context.Context, id string) (agent.Metrics, error) {
	if !idText.MatchString(id) || !slices.Contains(r.cgroups.list(), id) {
		return agent.Metrics{}, noContainer(id)
	}
	m, err := r.cgroups.metrics(id)
	if errors.Is(err, os.ErrNotExist) && !slices.Contains(r.cgroups.list(), id) {
		return agent.Metrics{}, noContainer(id)
	}
	return m, explain(err, "measure container %s", id)
}

func noContainer(id string) error {
	return volvox.Errorf(volvox.NotFound, "there is no container %s", id)
}
