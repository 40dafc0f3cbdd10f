package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// An action finds in its environment, besides what it was given:
//
//	DB_CTX      a file that holds its context as JSON
//	DB_OUT      a file that it may write its answer to, as JSON
//	DB_SECRETS  the directory of the secrets
//
// DB_CTX and DB_OUT are in a directory of the action below /run/actions.

const (
	// jobSuffix follows the instance's ID in the ID of a job's container.
	jobSuffix = "-job"
	// again is how long to wait before an action that is in progress is
	// called again.
	again = 500 * time.Millisecond
	// tries of an action that fails transiently.
	tries = 3

	maxOutput = 1 << 20
	logTail   = 4 << 10
)

// running is an action being run.
type running struct {
	action instance.Action
	cancel context.CancelFunc
	done   chan struct{}
}

// act begins the next action that can be run now. engine is the running
// program and job the container of a job; nil if there is none.
func (k *keeper) act(ctx context.Context, w instance.Wish, engine, job *Status) error {
	next, busy := k.next(engine, job)
	if busy {
		return nil
	}
	if job != nil && (next == nil || job.Labels[labelAction] != next.ID) {
		if err := k.a.o.Runtime.Remove(ctx, job.ID); err != nil {
			return runtimeError("remove a job that nobody waits for", err)
		}
	}
	if next == nil {
		return nil
	}
	c := k.container(w, string(k.id)+jobSuffix, next.Command)
	run, cancel := context.WithCancel(k.base)
	r := &running{action: *next, cancel: cancel, done: make(chan struct{})}
	k.mu.Lock()
	k.action = r
	k.mu.Unlock()
	go func() {
		defer close(r.done)
		defer cancel()
		err := k.perform(run, r.action, c)
		if err != nil && run.Err() == nil {
			wait := k.lose(r.action, err)
			k.a.o.Log.Warn("an action could not be run, trying again", "action", r.action.ID, "error", err, "again", wait)
			sleep(run, wait)
		}
		k.mu.Lock()
		k.action = nil
		k.mu.Unlock()
		k.nudge()
	}()
	return nil
}

// next is the action to be run, nil if there is none: the one whose job is
// there, or the oldest that can be run or has ended and was not told. It goes
// by the newest wish: an older one may list an action that has been finished
// and forgotten since.
func (k *keeper) next(engine, job *Status) (next *instance.Action, busy bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.action != nil {
		return nil, true
	}
	for i := range k.wish.Actions {
		a := &k.wish.Actions[i]
		if k.finished[a.ID] {
			continue
		}
		if job != nil && job.Labels[labelAction] == a.ID {
			return a, false
		}
		if next != nil {
			continue
		}
		_, err := os.Stat(k.a.dir.record(a.ID))
		if ended := err == nil; ended || (a.Place == instance.InEngine) == (engine != nil) {
			next = a
		}
	}
	return next, false
}

func (k *keeper) busyWithJob() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.action != nil && k.action.action.Place == instance.InJob
}

// pendingJob says whether the container is of an action whose result is
// waited for.
func (k *keeper) pendingJob(job *Status) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.wish.Actions {
		if a.ID == job.Labels[labelAction] {
			return !k.finished[a.ID]
		}
	}
	return false
}

// stopAction ends the action that runs and waits for it. A job's container
// goes on.
func (k *keeper) stopAction() {
	k.mu.Lock()
	r := k.action
	k.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// perform runs the action to its end, unless it has ended before, and tells
// its result. c is the container of a job. An error means that there is no
// result yet.
func (k *keeper) perform(ctx context.Context, a instance.Action, c Container) error {
	result, recorded, err := k.a.dir.readRecord(a.ID)
	if err != nil {
		return err
	}
	if !recorded {
		if known := k.attempt(a).result; known != nil {
			result = *known
		} else if result, err = k.carryOut(ctx, a, c); err != nil {
			return err
		}
		recorded = k.record(result)
	}
	// One whose result is not recorded is left, and removed afterwards.
	if a.Place == instance.InJob && recorded {
		if err := k.a.o.Runtime.Remove(ctx, string(k.id)+jobSuffix); err != nil {
			return runtimeError("remove a job that has ended", err)
		}
	}
	return k.deliver(ctx, result)
}

// carryOut runs the action to its end, or past its time.
func (k *keeper) carryOut(ctx context.Context, a instance.Action, c Container) (instance.Action, error) {
	run := k.runExec
	if a.Place == instance.InJob {
		run = func(ctx context.Context, a instance.Action) (end, error) { return k.runJob(ctx, a, c) }
	}
	end, err := run(ctx, a)
	if err != nil && ctx.Err() == nil && time.Now().After(k.attempt(a).limit) {
		end, err = k.timedOut(a, &tail{also: k.log}), nil
	}
	if err != nil {
		return instance.Action{}, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	a.Exit, a.Log, a.Output, a.EndedAt = &end.exit, end.log, end.output, &now
	k.log.note("action %s ended with exit code %d", a.Name, end.exit)
	return a, nil
}

// record makes a result durable. On a disk that is full, say, it is kept in
// memory: the action is not run again while this agent lives.
func (k *keeper) record(result instance.Action) bool {
	err := k.a.dir.writeRecord(result)
	if err == nil {
		return true
	}
	k.a.o.Log.Error("the result of an action cannot be recorded", "action", result.ID, "error", err)
	now := k.attempt(result)
	now.result = &result
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts[result.ID] = &now
	return false
}

// deliver tells a result until the control has it.
func (k *keeper) deliver(ctx context.Context, result instance.Action) error {
	wait := backoff{first: 200 * time.Millisecond, most: 10 * time.Second}
	for {
		err := k.a.o.Control.Finish(ctx, k.a.o.Machine.Name, result)
		if err == nil {
			break
		}
		if volvox.IsKind(err, volvox.KindDenied) || volvox.IsKind(err, volvox.KindInvalid) {
			k.a.o.Log.Error("the result of an action is not accepted", "action", result.ID, "error", err)
			break
		}
		k.a.o.Log.Warn("cannot tell the result of an action, trying again", "action", result.ID, "error", err)
		if !sleep(ctx, wait.next()) {
			return ctx.Err()
		}
	}
	k.mu.Lock()
	k.finished[result.ID] = true
	delete(k.attempts, result.ID)
	k.mu.Unlock()
	return errors.Join(k.a.dir.removeRecords([]instance.Action{result}), k.dropActionDir(result.ID))
}

// end is how an action ended.
type end struct {
	exit   int
	log    string
	output json.RawMessage
}

// runExec runs an action in the running program's container. If that ends
// meanwhile there is no result, and the action is run again later.
func (k *keeper) runExec(ctx context.Context, a instance.Action) (end, error) {
	limit, cancel := context.WithDeadline(ctx, k.attempt(a).limit)
	defer cancel()
	tail := &tail{also: k.log}
	for failed := 0; ; {
		if err := k.makeActionDir(a); err != nil {
			return end{}, err
		}
		exit, err := k.a.o.Runtime.Exec(limit, string(k.id), Exec{ID: "action-" + string(volvox.NewID()), Command: a.Command,
			Env: pairs(actionEnv(a)), Stdout: tail, Stderr: tail})
		switch {
		case ctx.Err() != nil:
			return end{}, ctx.Err()
		case limit.Err() != nil:
			return k.timedOut(a, tail), nil
		case err != nil || exit > 128:
			if k.attempt(a).lost+1 < tries {
				return end{}, fmt.Errorf("run action %s (exit code %d): %w", a.Name, exit, orElse(err, errKilled))
			}
			tail.add("volvox: the action was ended %d times from outside: %v", tries, orElse(err, errKilled))
			return end{exit: instance.ExitTransient, log: tail.String()}, nil
		case exit == instance.ExitInProgress:
		case exit == instance.ExitTransient && failed+1 < tries:
			failed++
		default:
			return k.collect(a, exit, tail), nil
		}
		if !sleep(limit, again) {
			return k.timedOut(a, tail), ctx.Err()
		}
	}
}

var errKilled = errors.New("it was killed")

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// attempt is what is known of an action that was begun and has no result on
// disk.
type attempt struct {
	limit time.Time // when it is timed out, counted from when it was first begun
	lost  int       // how often it was begun in vain
	why   error     // the last time

	result *instance.Action // it has ended, which could not be recorded; else nil
}

func (k *keeper) attempt(a instance.Action) attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.attempts[a.ID] == nil {
		k.attempts[a.ID] = &attempt{limit: time.Now().Add(time.Duration(a.TimeoutMS) * time.Millisecond)}
	}
	return *k.attempts[a.ID]
}

// lose notes that an action was begun in vain, and returns how long to wait
// before it is begun again.
func (k *keeper) lose(a instance.Action, why error) time.Duration {
	now := k.attempt(a)
	now.lost++
	now.why = why
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts[a.ID] = &now
	return min(time.Second<<min(now.lost-1, 4), time.Until(now.limit)+time.Second)
}

func (k *keeper) timedOut(a instance.Action, t *tail) end {
	if why := k.attempt(a).why; why != nil {
		t.add("volvox: action %s was begun in vain: %v", a.Name, why)
	}
	t.add("volvox: action %s was ended after %s", a.Name, time.Duration(a.TimeoutMS)*time.Millisecond)
	return end{exit: instance.ExitTimedOut, log: t.String()}
}

// collect puts an action's end together. An answer that is no JSON fails it.
func (k *keeper) collect(a instance.Action, exit int, t *tail) end {
	output, err := k.readOutput(a)
	if err != nil {
		t.add("volvox: cannot use what the action wrote to $DB_OUT: %v", err)
		if exit == instance.ExitDone {
			exit = instance.ExitPermanent
		}
	}
	return end{exit: exit, log: t.String(), output: output}
}

func actionDir(id string) string { return "actions/" + short(id)[:12] }

func actionEnv(a instance.Action) map[string]string {
	env := maps.Clone(a.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["DB_CTX"] = "/run/" + actionDir(a.ID) + "/ctx.json"
	env["DB_OUT"] = "/run/" + actionDir(a.ID) + "/out.json"
	env["DB_SECRETS"] = "/secrets"
	return env
}

// makeActionDir makes the directory of an action anew. What runs in the
// container owns the directory above and could have put links there, so
// nothing outside of that one is ever touched.
func (k *keeper) makeActionDir(a instance.Action) error {
	root, err := os.OpenRoot(k.path("run"))
	if err != nil {
		return fmt.Errorf("make the directory of action %s: %w", a.Name, err)
	}
	defer root.Close()
	dir := actionDir(a.ID)
	content := a.Context
	if len(content) == 0 {
		content = json.RawMessage("{}")
	}
	for _, step := range []func() error{
		func() error { return root.RemoveAll(dir) },
		func() error { return root.MkdirAll(dir, 0o700) },
		func() error { return root.WriteFile(dir+"/ctx.json", content, 0o444) },
		func() error { return root.Lchown("actions", owner, owner) },
		func() error { return root.Lchown(dir, owner, owner) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("make the directory of action %s: %w", a.Name, err)
		}
	}
	return nil
}

func (k *keeper) dropActionDir(id string) error {
	root, err := os.OpenRoot(k.path("run"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(actionDir(id))
}

// readOutput returns what the action wrote to $DB_OUT; nil if nothing.
func (k *keeper) readOutput(a instance.Action) (json.RawMessage, error) {
	root, err := os.OpenRoot(k.path("run"))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(actionDir(a.ID)+"/out.json", os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s, err := f.Stat(); err != nil || !s.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, nil
	case len(b) > maxOutput:
		return nil, fmt.Errorf("it is larger than %d bytes", maxOutput)
	case !json.Valid(b):
		return nil, errors.New("it is not JSON")
	}
	return b, nil
}

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func fromMicros(s string) (time.Time, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMicro(n), err == nil
}
