package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/volvox-os/volvox/instance"
)

// maxJobLog is how much of a job's output goes into the instance's log.
const maxJobLog = 1 << 20

// runJob runs an action in a container of its own. One that is there already,
// running or ended, was begun by an earlier agent; it is gone on with.
func (k *keeper) runJob(ctx context.Context, a instance.Action, c Container) (end, error) {
	found, err := k.a.looking.look(ctx)
	if err != nil {
		return end{}, err
	}
	left := status(found, c.ID)
	if left != nil && (left.State == Broken || left.Labels[labelAction] != a.ID) {
		left = nil
	}
	ends, failed := k.attempt(a).limit, 0
	if left != nil {
		if t, ok := fromMicros(left.Labels[labelEnds]); ok {
			ends = t
		}
		failed, _ = strconv.Atoi(left.Labels[labelTries])
	}
	limit, cancel := context.WithDeadline(ctx, ends)
	defer cancel()
	for {
		if left == nil {
			if err := k.createJob(limit, a, c, ends, failed); err != nil {
				return end{}, err
			}
		}
		left = nil
		s, err := k.waitJob(limit)
		if ctx.Err() != nil {
			return end{}, ctx.Err()
		}
		if err != nil && limit.Err() == nil {
			return end{}, err
		}
		if err != nil {
			if err := k.a.o.Runtime.Remove(ctx, string(k.id)+jobSuffix); err != nil {
				return end{}, runtimeError("end a job", err)
			}
			return k.timedOut(a, k.takeLog()), nil
		}
		tail := k.takeLog()
		switch {
		case s.OOMKilled && s.ExitCode > 128:
			tail.add("volvox: the action was ended because its memory limit was reached")
			return k.collect(a, s.ExitCode, tail), nil
		case s.ExitCode == instance.ExitInProgress:
		case (s.ExitCode == instance.ExitTransient || s.ExitCode > 128) && failed+1 < tries:
			failed++
		default:
			return k.collect(a, s.ExitCode, tail), nil
		}
		if !sleep(limit, again) {
			return k.timedOut(a, tail), ctx.Err()
		}
	}
}

func (k *keeper) createJob(ctx context.Context, a instance.Action, c Container, ends time.Time, failed int) error {
	if err := errors.Join(ctx.Err(), k.freshen()); err != nil {
		return err
	}
	if err := k.makeActionDir(a); err != nil {
		return err
	}
	if err := k.jobLog.remove(); err != nil {
		return err
	}
	env := actionEnv(a)
	c.Env = slices.DeleteFunc(slices.Clone(c.Env), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		_, replaced := env[name]
		return replaced
	})
	c.Env = append(c.Env, pairs(env)...)
	c.LogPath = k.jobLog.path
	c.Labels = maps.Clone(c.Labels)
	c.Labels[labelAction], c.Labels[labelEnds], c.Labels[labelTries] = a.ID, micros(ends), strconv.Itoa(failed)
	if err := k.a.o.Runtime.Create(ctx, c); err != nil {
		return runtimeError("start a job", err)
	}
	return nil
}

// waitJob waits until the job has ended.
func (k *keeper) waitJob(ctx context.Context) (Status, error) {
	wait := backoff{first: 200 * time.Millisecond, most: 10 * time.Second}
	for {
		pause := resync
		found, err := k.a.looking.look(ctx)
		if err != nil {
			pause = wait.next()
		} else if s := status(found, string(k.id)+jobSuffix); s == nil || s.State == Broken {
			return Status{}, fmt.Errorf("the job %s%s went away", k.id, jobSuffix)
		} else if s.State == Ended {
			return *s, nil
		}
		t := time.NewTimer(pause)
		select {
		case <-k.jobWake:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return Status{}, ctx.Err()
		}
	}
}

// takeLog moves what a job printed into the instance's log and returns the
// end of it.
func (k *keeper) takeLog() *tail {
	t := &tail{also: k.log}
	if err := k.jobLog.last(maxJobLog, t); err != nil {
		k.a.o.Log.Warn("cannot read what a job printed", "log", k.jobLog.path, "error", err)
	}
	if err := k.jobLog.remove(); err != nil {
		k.a.o.Log.Warn("cannot remove what a job printed", "log", k.jobLog.path, "error", err)
	}
	return t
}
