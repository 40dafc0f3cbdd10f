package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// readers are the connections that read, in pools by what they show.
type readers struct {
	path    string
	options Options
	pools   [4]pool
	mu      sync.Mutex // guards idle, closed and way
	closed  bool
	way     way
}

// pool holds connections of one kind.
type pool struct {
	slots chan struct{}
	idle  []*conn
}

// The kinds of connections, one pool each.
const (
	showPresent = iota
	showPast
	askPresent
	askPast
)

func newReaders(path string, o Options) *readers {
	rs := &readers{path: path, options: o, way: way{open: map[*view]time.Time{}}}
	for i := range rs.pools {
		n := 4
		if i == showPresent {
			n = 16
		}
		rs.pools[i].slots = make(chan struct{}, n)
	}
	return rs
}

func kindOf(look store.Look) int {
	kind := showPresent
	if look.Asked {
		kind = askPresent
	}
	if !look.At.IsZero() {
		kind++
	}
	return kind
}

// take returns a connection of a kind, waiting for one if all are in use.
func (rs *readers) take(ctx context.Context, kind int) (*conn, error) {
	p := &rs.pools[kind]
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		<-p.slots
		return nil, errClosed()
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c, nil
	}
	c, err := openConn(rs.path, sqlite.OpenReadOnly, "cache_size=-4000", "foreign_keys=ON")
	if err == nil {
		err = prepareLook(c, kind)
	}
	if err != nil {
		<-p.slots
		return nil, wrap(err)
	}
	return c, nil
}

// give puts a connection back; one that is not fit for use is closed.
func (rs *readers) give(kind int, c *conn, fit bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed || !fit {
		c.close()
	} else {
		rs.pools[kind].idle = append(rs.pools[kind].idle, c)
	}
	<-rs.pools[kind].slots
}

// close waits for the views being run and closes all connections.
func (rs *readers) close() error {
	rs.mu.Lock()
	rs.closed = true
	rs.mu.Unlock()
	var errs []error
	for i := range rs.pools {
		p := &rs.pools[i]
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		for _, c := range p.idle {
			errs = append(errs, c.close())
		}
		p.idle = nil
		for range cap(p.slots) {
			<-p.slots
		}
	}
	return errors.Join(errs...)
}

// view runs f on a snapshot. latest makes the moment that it shows the last
// there is.
func (rs *readers) view(ctx context.Context, look store.Look, latest bool, f func(store.Conn) error) error {
	kind := kindOf(look)
	c, err := rs.take(ctx, kind)
	if err != nil {
		return err
	}
	v := &view{session: session{conn: c, ctx: ctx}}
	if err := rs.enter(ctx, v); err != nil {
		rs.give(kind, c, true)
		return err
	}
	limit := look.Limit
	if limit == 0 {
		limit = rs.options.ViewLimit
	}
	timer := time.AfterFunc(limit, func() { v.stop(errSlowView(limit)) })
	unwatch := context.AfterFunc(ctx, func() { v.stop(volvox.AsError(context.Cause(ctx))) })
	unbound := func() {}
	if look.Asked {
		unbound = v.bound()
	}
	defer func() {
		unbound()
		timer.Stop()
		unwatch()
		fit := v.finish()
		rs.leave(v)
		rs.give(kind, c, fit)
	}()
	if err := c.begin(look, kind, latest, &v.session); err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.fail(err)
	}
	if err := f(&v.session); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over != nil {
		return v.over
	}
	return v.failed
}

// begin opens the snapshot and sets the moment.
func (c *conn) begin(look store.Look, kind int, latest bool, s *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return s.over
	}
	if c.built != look.Catalog {
		c.forget()
		if kind != showPresent {
			if err := c.build(look.Catalog, kind); err != nil {
				return err
			}
		}
		c.built = look.Catalog
	}
	if err := c.do("BEGIN"); err != nil || kind == showPresent {
		return err
	}
	s.adapt = func(text string) (string, error) { return text, store.CheckUnqualified(text) }
	if kind == askPresent || kind == askPast {
		s.typed = c.describe
	}
	return c.setMoment(look.At, latest)
}

// view is a session that may be stopped from outside.
type view struct {
	session
	state   sync.Mutex // guards stopped and done; never waits for SQLite
	stopped bool
	done    bool
}

// stop interrupts what is running and gives the snapshot back.
func (v *view) stop(why *volvox.Error) {
	v.state.Lock()
	if v.done || v.stopped {
		v.state.Unlock()
		return
	}
	v.stopped = true
	v.killed.Store(why)
	close(v.conn.kill)
	v.state.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over == nil {
		v.finishLocked(why)
	}
}

// finish ends the view; false when the connection is not fit for another.
func (v *view) finish() bool {
	v.state.Lock()
	v.done = true
	v.state.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over == nil {
		v.finishLocked(volvox.Errorf(volvox.Internal, "a view was used after its end"))
	}
	return v.conn.AutocommitEnabled()
}

func (v *view) finishLocked(why error) {
	v.end(why)
	if v.killed.Load() != nil {
		v.conn.arm()
	}
	if v.conn.AutocommitEnabled() {
		return
	}
	// A rollback makes SQLite read the whole schema again if a TEMP view was
	// made; only a view that failed half-way may have left one.
	if v.failed != nil || v.killed.Load() != nil || v.conn.do("COMMIT") != nil {
		v.conn.do("ROLLBACK")
	}
}
