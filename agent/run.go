package agent

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// The labels of containers, by which a later agent knows what they are.
const (
	labelSpec   = "spec"   // digest of the spec that the container was made from
	labelStart  = "start"  // names one start of the program
	labelAction = "action" // ID of the action that a job's container runs
	labelEnds   = "ends"   // when the action is timed out, in microseconds
	labelTries  = "tries"  // how often the action was tried before
	labelImage  = "image"  // digest of the image whose root it uses
)

// keepRunning keeps the program of an instance running.
func (k *keeper) keepRunning(ctx context.Context, w instance.Wish, engine, job *Status) (time.Duration, error) {
	if k.busyWithJob() {
		return 0, nil
	}
	if job != nil && k.pendingJob(job) {
		if err := k.prepare(ctx, w); err != nil {
			return 0, err
		}
		return 0, k.act(ctx, w, nil, job) // the program starts when the job has ended
	}
	if job != nil {
		if err := k.a.o.Runtime.Remove(ctx, job.ID); err != nil {
			return 0, runtimeError("remove a job that has ended", err)
		}
	}
	want := digest(w.Spec)
	if engine != nil && engine.State == Up && engine.Labels[labelSpec] == want {
		k.adopt(w, engine)
		return k.untilSteady(engine), k.act(ctx, w, engine, nil)
	}
	if engine != nil && engine.State == Up {
		if err := k.renew(ctx, w); err != nil {
			return 0, err
		}
	} else if engine != nil && engine.State == Ended && engine.Labels[labelSpec] == want {
		k.countEnd(engine)
	}
	k.stopProbe()
	k.report("", func(f *instance.Report) { f.Ready, f.Role, f.StartedAt = false, "", nil })
	if wait := time.Until(k.startAt); wait > 0 {
		return wait, nil
	}
	started, err := k.start(ctx, w, want)
	if err != nil {
		return 0, err
	}
	k.adopt(w, started)
	return k.untilSteady(started), k.act(ctx, w, started, nil)
}

// renew stops a program whose spec was changed, after what the new one needs
// has been fetched.
func (k *keeper) renew(ctx context.Context, w instance.Wish) error {
	k.report("", func(f *instance.Report) { f.Phase, f.Message = volvox.Updating, "" })
	if _, err := k.fetch(ctx, w); err != nil {
		return err
	}
	k.report("", func(f *instance.Report) {
		f.Ready, f.Role = false, ""
		k.crashed = 0
	})
	k.startAt = time.Time{}
	return k.stopProgram(ctx, w)
}

// countEnd takes note, once, of a program that ended by itself.
func (k *keeper) countEnd(engine *Status) {
	if !engine.EndedAt.IsZero() && engine.EndedAt.Equal(k.counted) {
		return
	}
	k.counted = engine.EndedAt
	gone := k.dropProbe()
	defer gone()
	if engine.EndedAt.Sub(engine.StartedAt) >= steady {
		k.restart.reset()
	}
	wait := k.restart.next()
	k.startAt = time.Now().Add(wait)
	code, exit := volvox.Crashed, engine.ExitCode
	words := fmt.Sprintf("ended with exit code %d", exit)
	switch {
	case engine.OOMKilled && exit > 128:
		code = volvox.OutOfMemory
		words = "was ended because its memory limit was reached"
	case engine.OOMKilled: // one of its processes was, now or long ago
		words += "; its memory limit had been reached before"
	}
	k.log.note("the program %s; it is started again in %s", words, wait)
	k.report("its program "+words, func(f *instance.Report) {
		f.Observed, f.Ready, f.Role, f.Restarts, f.ExitCode = k.trying, false, "", f.Restarts+1, &exit
		f.Code, f.Message, f.StartedAt = code, "the program "+words, nil
		if k.crashed++; k.crashed >= crashes {
			f.Phase = volvox.Failed
		}
	})
}

// start makes the container.
func (k *keeper) start(ctx context.Context, w instance.Wish, want string) (*Status, error) {
	if err := k.prepare(ctx, w); err != nil {
		return nil, err
	}
	if err := k.freshen(); err != nil {
		return nil, err
	}
	c := k.container(w, string(k.id), w.Spec.Command)
	c.LogPath = k.log.path
	c.Labels[labelSpec] = want
	c.Labels[labelStart] = string(volvox.NewID())
	if err := k.a.o.Runtime.Create(ctx, c); err != nil {
		k.prepared = ""
		return nil, runtimeError("start the container", err)
	}
	return &Status{ID: c.ID, State: Up, StartedAt: time.Now(), Labels: c.Labels}, nil
}

// adopt reports a running program, whoever started it, and sees to its probe.
func (k *keeper) adopt(w instance.Wish, engine *Status) {
	started := engine.StartedAt.UTC().Truncate(time.Microsecond)
	fresh := k.seen != engine.Labels[labelStart]
	if fresh && k.seen == "" { // the first look of this agent: was it reported by an earlier one?
		k.mu.Lock()
		fresh = k.facts.StartedAt == nil || started.Sub(*k.facts.StartedAt).Abs() > 2*time.Second
		k.mu.Unlock()
	}
	k.seen = engine.Labels[labelStart]
	k.report("", func(f *instance.Report) {
		f.Observed = w.Instance.Generation
		if fresh {
			f.StartedAt, f.Ready, f.Role = &started, false, ""
		}
		if k.crashed < crashes {
			f.Phase = volvox.Running
		}
		if f.Code != volvox.Crashed && f.Code != volvox.OutOfMemory && (fresh || f.Code != "") {
			f.Code, f.Message = "", k.health.Message
		}
		if w.Spec.Probe == nil {
			f.Ready = true
			if k.crashed < crashes {
				f.Code, f.Message = "", ""
			}
		}
	})
	k.startProbe(w)
}

// untilSteady is when the past ends of a running program can be forgotten.
func (k *keeper) untilSteady(engine *Status) time.Duration {
	if k.restart.now == 0 {
		return 0
	}
	if wait := steady - time.Since(engine.StartedAt); wait > 0 {
		return wait
	}
	k.restart.reset()
	k.report("", func(f *instance.Report) {
		k.crashed = 0
		f.Phase = volvox.Running
	})
	return 0
}

// container is what all containers of the instance have in common.
func (k *keeper) container(w instance.Wish, id string, command []string) Container {
	binds := []Bind{
		{Source: k.path("config"), Target: "/config", ReadOnly: true},
		{Source: k.path("scripts"), Target: "/scripts", ReadOnly: true},
		{Source: k.path("secrets"), Target: "/secrets", ReadOnly: true},
		{Source: k.path("tmp"), Target: "/tmp"},
		{Source: k.path("run"), Target: "/run"},
	}
	for _, m := range byPath(w.Spec.Volumes) {
		binds = append(binds, Bind{Source: k.volume(m), Target: m.Path})
	}
	env := maps.Clone(w.Spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	for name, value := range map[string]string{
		"PATH":       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":       "/tmp",
		"DB_SECRETS": "/secrets",
	} {
		if _, set := env[name]; !set {
			env[name] = value
		}
	}
	return Container{
		ID: id, Rootfs: k.rootfs, Command: underInit(k.rootfs, command), Env: pairs(env), Dir: "/", UID: owner,
		NetNS: k.netns, Binds: binds, Limits: w.Spec.Limits, Labels: map[string]string{labelImage: k.image},
	}
}

// initProgram is the first process of a container whose image has it, as all
// images made of packages do. It hands signals on and reaps orphans. Without
// it the engine is the parent of orphans, such as the children of a probe that
// was ended, and there are engines that take the death of a child they do not
// know for a crash of their own and restart.
const initProgram = "/usr/bin/tini"

func underInit(rootfs string, command []string) []string {
	if _, err := os.Lstat(filepath.Join(rootfs, initProgram)); err != nil {
		return command
	}
	return append([]string{initProgram, "--"}, command...)
}

// pairs writes variables as NAME=value, sorted.
func pairs(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}
