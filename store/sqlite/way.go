package sqlite

import (
	"context"
	"time"

	"github.com/volvox-os/volvox"
)

// The WAL begins anew only at a moment when nobody reads from it. Views that
// overlap without a gap never leave one, so when it has grown long the readers
// make way: new views wait until those that are open have ended, or the
// patience for that has.
const (
	longLog     = 4 * maxFrames // pages of the WAL that make new views wait
	endlessLog  = 8 * maxFrames // and that end those older than the patience
	wayPatience = time.Second
)

// way is the gate of all views. Its fields are guarded by readers.mu.
type way struct {
	open   map[*view]time.Time // views, and when they began
	closed chan struct{}       // new views wait for it; nil: they need not
}

// enter lets a view begin.
func (rs *readers) enter(ctx context.Context, v *view) error {
	for {
		rs.mu.Lock()
		wait := rs.way.closed
		if wait == nil {
			rs.way.open[v] = time.Now()
			rs.mu.Unlock()
			return nil
		}
		rs.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (rs *readers) leave(v *view) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.way.open, v)
}

// makeWay lets no more views begin, for as long as the patience lasts. end
// also ends those that are older.
func (rs *readers) makeWay(end bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.way.closed != nil {
		return
	}
	closed := make(chan struct{})
	rs.way.closed = closed
	time.AfterFunc(wayPatience, func() { rs.goOn(closed) })
	for v, began := range rs.way.open {
		if end && time.Since(began) > wayPatience {
			go v.stop(volvox.Errorf(volvox.SlowView, "a reading was ended").
				Because("so much was written meanwhile that the kernel's log had to be cut").WithTry("read in smaller pieces"))
		}
	}
}

// cleared says whether views wait and none is open; they wait for what it
// returns.
func (rs *readers) cleared() chan struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.way.open) > 0 {
		return nil
	}
	return rs.way.closed
}

// goOn lets views begin again.
func (rs *readers) goOn(closed chan struct{}) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.way.closed == closed {
		close(closed)
		rs.way.closed = nil
	}
}
