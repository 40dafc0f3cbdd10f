package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// progress tells on stderr how far a workflow is: a line for each step that
// is done and, on a terminal, one line about what is going on.
type progress struct {
	w     io.Writer
	paint func(color, string) string
	live  bool

	mu    sync.Mutex
	since time.Time // the last step was done
	doing string
	said  map[string]bool // lines about what is going on, where each stays
	drawn bool
}

// redraw is how often the line on a terminal is drawn anew.
const redraw = 200 * time.Millisecond

// follow shows a workflow until it has ended and returns how. When ctx ends
// the command detaches: the workflow goes on, and the error says so.
func (a *app) follow(ctx context.Context, c *client.Client, id string) (client.Workflow, error) {
	p := &progress{w: a.Err, paint: a.painter(a.ErrTTY), live: a.ErrTTY, since: time.Now(), said: map[string]bool{}}
	drawing, stop := context.WithCancel(ctx)
	var drawn sync.WaitGroup
	if p.live {
		drawn.Go(func() { p.draw(drawing) })
	}
	w, err := c.Follow(ctx, id, p.step, p.progress)
	stop()
	drawn.Wait()
	p.clear()
	switch {
	case err == nil:
		return w, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return w, volvox.Errorf(volvox.StillRunning, "stopped waiting; the work goes on").
			Because("it is the workflow %s", id).WithTry("volvox workflow follow %s", id)
	case volvox.CodeOf(err) == volvox.Unavailable, volvox.CodeOf(err) == volvox.NotUp:
		return w, volvox.Errorf(volvox.Unavailable, "lost the computer while the workflow %s was going on", id).From(err).
			Because("%s; nothing that was done is lost, and it goes on when the computer is up", err).
			WithTry("volvox up").WithTry("volvox workflow follow %s", id)
	}
	return w, err
}

func (p *progress) step(s client.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	sign := p.paint(green, "✓")
	if s.Error != nil { // the end says why
		sign = p.paint(red, "✗")
	}
	if s.Name != "" {
		fmt.Fprintf(p.w, "%s %s  %s\n", sign, s.Name, p.paint(dim, took(s.EndedAt.Sub(s.StartedAt))))
	}
	p.since, p.doing = time.Now(), ""
}

func (p *progress) progress(n client.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = n.Ref.Name + ": " + n.Message
	if !p.live && !p.said[p.doing] { // what is tried again and again is said once
		p.said[p.doing] = true
		fmt.Fprintf(p.w, "  %s\n", oneLine(p.doing))
	}
}

// draw keeps the line about what is going on until ctx ends.
func (p *progress) draw(ctx context.Context) {
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		p.erase()
		doing := oneLine(p.doing)
		if doing == "" {
			doing = "working"
		}
		if r := []rune(doing); len(r) > 60 {
			doing = string(r[:59]) + "…"
		}
		fmt.Fprintf(p.w, "%s %s  %s", p.paint(yellow, "…"), doing, p.paint(dim, took(time.Since(p.since))))
		p.drawn = true
		p.mu.Unlock()
	}
}

func (p *progress) erase() {
	if p.drawn {
		io.WriteString(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// definiteTime bounds what an interruption has to wait for.
const definiteTime = 30 * time.Second

// definite asks for a change without being interrupted: to have asked by half
// would leave a person not knowing what goes on.
func definite[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), definiteTime)
	defer cancel()
	if err := ctx.Err(); err != nil {
		var none T
		return none, err
	}
	return ask(asking)
}

// result is the error of a workflow that has ended.
func result(w client.Workflow) error {
	switch {
	case w.Status == "Cancelled":
		return volvox.Errorf(volvox.Busy, "the workflow %s was given up", w.ID).
			Because("somebody asked for something else meanwhile, such as to delete %s", w.Subject).
			WithTry("volvox db events %s", w.Subject)
	case w.Error != nil && w.Status != "Succeeded":
		return w.Error
	case w.Status == "Failed":
		return volvox.Errorf(volvox.Internal, "the workflow %s failed", w.ID).WithTry("volvox workflow show %s", w.ID)
	}
	return nil
}

// next says one thing to do next, to a person only.
func (a *app) next(format string, args ...any) {
	if a.OutTTY && a.ErrTTY {
		fmt.Fprintf(a.Err, "%s %s\n", a.painter(true)(dim, "next:"), a.exact(fmt.Sprintf(format, args...)))
	}
}
