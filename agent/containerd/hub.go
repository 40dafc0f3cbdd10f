package containerd

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/containerd/containerd/api/events"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	"github.com/volvox-os/volvox/agent"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Topics of containerd's events; the last is ours.
const (
	exitTopic   = "/tasks/exit"
	oomTopic    = "/tasks/oom"
	listenTopic = "/volvox/listening"
)

// queueLength is how many events a slow consumer may be behind before it is
// told of a gap instead.
const queueLength = 256

// hub listens to containerd's events, for the runtime itself, which records
// how containers ended, and for all who called Events.
type hub struct {
	r *Runtime

	mu        sync.Mutex
	listening bool
	ears      map[*ear]bool
}

// ear is one consumer.
type ear struct {
	queue chan agent.Event
	gap   chan struct{} // has a value when events were lost
}

func newHub(r *Runtime) *hub { return &hub{r: r, ears: map[*ear]bool{}} }

// run listens until ctx ends, reconnecting.
func (h *hub) run(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := h.r.daemon.await(ctx, time.Time{})
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			continue // it has waited
		}
		if err := h.listen(ctx, l); err != nil && ctx.Err() == nil {
			h.r.log.Warn("the events of containerd were lost", "cause", err)
		}
		h.lost()
		l.pause(ctx, nil, time.Now().Add(time.Minute))
	}
}

// listen hears one connection's events until it is lost.
func (h *hub) listen(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.events.Subscribe(ctx, &eventsapi.SubscribeRequest{Filters: []string{
		fmt.Sprintf("topic==%q", exitTopic), fmt.Sprintf("topic==%q", oomTopic), fmt.Sprintf("topic==%q", listenTopic),
	}})
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	go h.knock(ctx, l, heard)
	for first := true; ; {
		env, err := stream.Recv()
		if err != nil {
			return err
		}
		if env.Topic != listenTopic {
			h.hear(ctx, l, env.Topic, env.Event)
			continue
		}
		if !first {
			continue
		}
		first = false
		close(heard)
		// What ended before now had no listener.
		if err := h.r.keepEndings(ctx, l); err != nil {
			h.r.log.Warn("could not record how containers ended", "cause", err)
		}
		h.begin()
	}
}

// knock publishes an event of ours until it was heard: a subscription is not
// acknowledged otherwise.
func (h *hub) knock(ctx context.Context, l *link, heard <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	b, _ := proto.Marshal(&events.NamespaceCreate{Name: h.r.ns})
	for {
		l.events.Publish(ctx, &eventsapi.PublishRequest{Topic: listenTopic,
			Event: &anypb.Any{TypeUrl: "containerd.events.NamespaceCreate", Value: b}})
		select {
		case <-heard:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// hear handles one event.
func (h *hub) hear(ctx context.Context, l *link, topic string, packed *anypb.Any) {
	switch topic {
	case exitTopic:
		var e events.TaskExit
		if proto.Unmarshal(packed.GetValue(), &e) != nil || e.ID != e.ContainerID {
			return // the end of an exec
		}
		end := ending{Code: int(e.ExitStatus), At: e.ExitedAt.AsTime()}
		if err := h.r.keepEnding(ctx, l, e.ContainerID, end); err != nil {
			h.r.log.Warn("could not record how a container ended", "container", e.ContainerID, "cause", err)
		}
		h.tell(agent.Event{Kind: "exit", ID: e.ContainerID})
	case oomTopic:
		var e events.TaskOOM
		if proto.Unmarshal(packed.GetValue(), &e) == nil {
			h.tell(agent.Event{Kind: "oom", ID: e.ContainerID})
		}
	}
}

// begin tells everyone that events are heard from now on.
func (h *hub) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = true
	for e := range h.ears {
		e.miss()
	}
}

func (h *hub) lost() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listening = false
}

func (h *hub) tell(ev agent.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for e := range h.ears {
		select {
		case e.queue <- ev:
		default:
			e.miss()
		}
	}
}

// miss notes a gap.
func (e *ear) miss() {
	select {
	case e.gap <- struct{}{}:
	default:
	}
}

func (h *hub) add() *ear {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &ear{queue: make(chan agent.Event, queueLength), gap: make(chan struct{}, 1)}
	h.ears[e] = true
	if h.listening {
		e.miss()
	}
	return e
}

func (h *hub) drop(e *ear) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ears, e)
}

// Events yields exits and the kernel's kills for memory. It begins with a
// gap, as soon as it listens: whoever lists the containers then and follows
// the events misses nothing.
func (r *Runtime) Events(ctx context.Context) iter.Seq[agent.Event] {
	return func(yield func(agent.Event) bool) {
		e := r.hub.add()
		defer r.hub.drop(e)
		for {
			var ev agent.Event
			select {
			case <-ctx.Done():
				return
			case <-r.ctx.Done():
				return
			case <-e.gap:
				ev = agent.Event{Kind: "gap"}
			case ev = <-e.queue:
			}
			if !yield(ev) {
				return
			}
		}
	}
}
