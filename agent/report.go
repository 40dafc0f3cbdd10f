package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// reporter tells the control what is found. While the control is away it
// keeps the newest report of each instance and goes on trying.
type reporter struct {
	control Control
	machine string
	log     *slog.Logger

	mu      sync.Mutex
	pending map[volvox.ID]instance.Report
	order   []volvox.ID // of pending, longest waiting first
	images  []machine.Image
	wake    chan struct{}
	empty   chan struct{} // closed and made anew whenever nothing is pending
}

func newReporter(c Control, name string, log *slog.Logger) *reporter {
	return &reporter{control: c, machine: name, log: log, pending: map[volvox.ID]instance.Report{},
		wake: make(chan struct{}, 1), empty: make(chan struct{})}
}

// add replaces what is pending for the instance. An event that was not told
// yet is not lost.
func (r *reporter) add(report instance.Report) {
	r.mu.Lock()
	old, waits := r.pending[report.ID]
	if !waits {
		r.order = append(r.order, report.ID)
	}
	if old.Event != "" && report.Event == "" {
		report.Event = old.Event
	} else if old.Event != "" {
		report.Event = old.Event + "; " + report.Event
	}
	r.pending[report.ID] = report
	r.mu.Unlock()
	notify(r.wake)
}

func (r *reporter) addImage(i machine.Image) {
	r.mu.Lock()
	r.images = append(r.images, i)
	r.mu.Unlock()
	notify(r.wake)
}

// run sends until ctx ends.
func (r *reporter) run(ctx context.Context) {
	wait := backoff{first: 200 * time.Millisecond, most: 10 * time.Second}
	for {
		sent, err := r.sendOne(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Warn("cannot report, trying again", "error", err)
			if !sleep(ctx, wait.next()) {
				return
			}
		case sent:
			wait.reset()
		default:
			select {
			case <-r.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// sendOne sends what has waited longest; false means that nothing waits.
func (r *reporter) sendOne(ctx context.Context) (bool, error) {
	r.mu.Lock()
	if len(r.images) > 0 {
		i := r.images[0]
		r.mu.Unlock()
		if err := r.control.ReportImage(ctx, r.machine, i); err != nil {
			return true, err
		}
		r.mu.Lock()
		r.images = r.images[1:]
		r.mu.Unlock()
		return true, nil
	}
	if len(r.order) == 0 {
		close(r.empty)
		r.empty = make(chan struct{})
		r.mu.Unlock()
		return false, nil
	}
	id := r.order[0]
	report := r.pending[id]
	delete(r.pending, id)
	r.order = r.order[1:]
	r.mu.Unlock()
	err := r.control.Report(ctx, r.machine, report)
	if err != nil {
		r.giveBack(report)
	}
	return true, err
}

// giveBack makes a report pending again that could not be sent, unless a
// newer one came meanwhile.
func (r *reporter) giveBack(report instance.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newer, waits := r.pending[report.ID]
	if !waits {
		r.order = append(r.order, report.ID)
		r.pending[report.ID] = report
		return
	}
	if report.Event != "" && newer.Event != "" {
		newer.Event = report.Event + "; " + newer.Event
	} else if report.Event != "" {
		newer.Event = report.Event
	}
	r.pending[report.ID] = newer
}

// flush waits until everything was told.
func (r *reporter) flush(ctx context.Context) error {
	r.mu.Lock()
	empty := r.empty
	r.mu.Unlock()
	notify(r.wake)
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff is a wait that doubles each time.
type backoff struct {
	first, most, now time.Duration
}

func (b *backoff) next() time.Duration {
	if b.now == 0 {
		b.now = b.first
	} else {
		b.now = min(2*b.now, b.most)
	}
	return b.now
}

func (b *backoff) reset() { b.now = 0 }

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// notify puts a value into a channel of capacity one, unless one is there.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
