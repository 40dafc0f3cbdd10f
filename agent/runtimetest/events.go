package runtimetest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/volvox-os/volvox/agent"
)

// follower keeps the events it was told of.
type follower struct {
	mu   sync.Mutex
	seen []agent.Event
}

// follow follows the events until the test ends, and returns once they are
// heard.
func (b *bench) follow(t *testing.T) *follower {
	t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	events := b.r.Events(ctx)
	go func() {
		defer close(done)
		for e := range events {
			f.mu.Lock()
			f.seen = append(f.seen, e)
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	f.await(t, agent.Event{Kind: "gap"})
	return f
}

func (f *follower) await(t *testing.T, e agent.Event) {
	t.Helper()
	until(t, "the event "+e.Kind+" "+e.ID, func() bool { return f.count(e) > 0 })
}

func (f *follower) count(e agent.Event) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.seen {
		if s == e {
			n++
		}
	}
	return n
}

func (b *bench) events(t *testing.T) {
	first, second := b.follow(t), b.follow(t)
	c := b.shell(t, "events1", "exit 1")
	d := b.shell(t, "events2", forever)
	b.create(t, c)
	b.create(t, d)
	b.sh(t, d.ID, "true") // the end of a command is none of a container
	for _, f := range []*follower{first, second} {
		f.await(t, agent.Event{Kind: "exit", ID: c.ID})
		if n := f.count(agent.Event{Kind: "exit", ID: d.ID}); n > 0 {
			t.Errorf("%d exits of a container that runs", n)
		}
		f.mu.Lock()
		if !slices.Equal(f.seen[:1], []agent.Event{{Kind: "gap"}}) {
			t.Errorf("events begin with %v", f.seen)
		}
		f.mu.Unlock()
	}
	b.must(t, c.ID, agent.Ended) // the list is never behind an event
	if err := b.r.Remove(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	first.await(t, agent.Event{Kind: "exit", ID: d.ID})
}
