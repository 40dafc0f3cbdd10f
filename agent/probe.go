package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// silence is how long a probe may say nothing before the instance counts as
// not ready and the probe is started again.
const silence = 30 * time.Second

// probe is a probe being run.
type probe struct {
	spec   string // digest of the instance's spec
	cancel context.CancelFunc
	done   chan struct{}
}

// startProbe sees to it that the probe of the running program runs.
func (k *keeper) startProbe(w instance.Wish) {
	want := digest(w.Spec)
	k.mu.Lock()
	same := k.probe != nil && k.probe.spec == want
	k.mu.Unlock()
	if same {
		return
	}
	k.stopProbe()
	if w.Spec.Probe == nil {
		return
	}
	ctx, cancel := context.WithCancel(k.base)
	p := &probe{spec: want, cancel: cancel, done: make(chan struct{})}
	k.mu.Lock()
	k.probe = p
	k.mu.Unlock()
	go func() {
		defer close(p.done)
		defer cancel()
		k.runProbe(ctx, p, w.Spec.Probe.Command)
	}()
}

// stopProbe ends the probe and waits for it. None: nothing.
func (k *keeper) stopProbe() { k.dropProbe()() }

// dropProbe ends the probe, of which nothing is heard any more; the function
// returned waits for it.
func (k *keeper) dropProbe() (wait func()) {
	k.mu.Lock()
	p := k.probe
	k.probe = nil
	k.health, k.healthAt = instance.Health{}, time.Time{}
	k.mu.Unlock()
	if p == nil {
		return func() {}
	}
	p.cancel()
	return func() { <-p.done }
}

// runProbe runs the probe, again when it ends, until ctx ends.
func (k *keeper) runProbe(ctx context.Context, p *probe, command []string) {
	wait := backoff{first: 200 * time.Millisecond, most: 15 * time.Second}
	for {
		run, cancel := context.WithCancel(ctx)
		lines := &lines{each: func(line []byte) {
			var h instance.Health
			if json.Unmarshal(line, &h) == nil {
				wait.reset()
				k.hear(p, h)
			}
		}}
		watchdog := time.AfterFunc(silence, cancel)
		lines.any = func() { watchdog.Reset(silence) }
		said := &tail{}
		exit, err := k.a.o.Runtime.Exec(run, string(k.id), Exec{ID: "probe-" + string(volvox.NewID()), Command: command, Stdout: lines, Stderr: said})
		watchdog.Stop()
		silent := run.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return
		}
		message := "the probe ended: " + lastLine(said.String())
		if silent {
			message = "the probe says nothing"
		}
		k.a.o.Log.Warn("a probe ended and is started again", "instance", k.id, "exit", exit, "error", err, "silent", silent)
		if silent || wait.now >= time.Second {
			k.hear(p, instance.Health{Message: message})
		}
		if !sleep(ctx, wait.next()) {
			return
		}
	}
}

// hear takes what the probe says. What it says of an engine's position stays
// in memory; only what a person would call news is reported.
func (k *keeper) hear(p *probe, h instance.Health) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.probe != p {
		return
	}
	k.health, k.healthAt = h, time.Now()
	k.reportLocked("", func(f *instance.Report) {
		f.Ready, f.Role = h.Ready, h.Role
		ended := f.Code == volvox.Crashed || f.Code == volvox.OutOfMemory
		switch {
		case h.Ready && ended:
			f.Phase, f.Code, f.Message = volvox.Running, "", h.Message
			k.crashed = 0
		case f.Code == "", ended && h.Message != "":
			f.Message = h.Message
		}
	})
}

// lines cuts what is written to it into lines.
type lines struct {
	each func(line []byte)
	any  func() // called for every write

	mu   sync.Mutex
	rest []byte
}

// maxLine is the longest line; what is longer is dropped.
const maxLine = 64 << 10

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.any()
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			break
		}
		l.each(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
	if len(l.rest) > maxLine {
		l.rest = nil
	}
	return len(b), nil
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}
