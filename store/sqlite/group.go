package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// request is one closure that waits for its turn and its answer.
type request struct {
	ctx    context.Context
	meta   store.Meta
	f      func(store.Conn) error
	single bool // one statement, which SQLite undoes by itself
	done   chan struct{}

	session *session
	tx      int64    // its number; 0 until it writes
	saved   bool     // its savepoint is open
	tables  []string // those that its statements may have changed
	final   bool     // is not run again
	deposed bool     // its goroutine was left behind and answers it; guarded by writer.mu

	changed int64
	goexit  bool
	err     error
}

// group is what is committed together.
type group struct {
	requests []*request
	next     int
	begun    bool
	tries    int
	fault    error // why it has to be run again
}

// serve runs a group to its end. It returns false when the role has passed to
// another goroutine.
func (w *writer) serve(g *group) bool {
	for {
		if w.broken != nil {
			w.refuse(g, w.broken)
			return true
		}
		if err := w.begin(g); err != nil {
			g.fault = err
		}
		for g.fault == nil && g.next < len(g.requests) {
			r := g.requests[g.next]
			g.next++
			if r.final {
				continue
			}
			if r.ctx.Err() != nil {
				r.err, r.final = context.Cause(r.ctx), true
				continue
			}
			if !w.call(r) {
				return false
			}
		}
		if g.fault == nil {
			g.fault = w.end(g)
		}
		if g.fault == nil || !w.again(g) {
			return true
		}
	}
}

// begin starts the group's transaction, undoing what a try before it left.
func (w *writer) begin(g *group) error {
	if g.begun {
		if err := w.rollback(); err != nil {
			return err
		}
		w.forgo()
		g.next, g.begun = 0, false
	}
	g.fault = nil
	w.inflight.Store(w.options.Now().UnixMicro())
	w.timer.Reset(w.options.ClosureLimit / looks)
	g.begun = true
	return w.conn.do("BEGIN IMMEDIATE")
}

func (w *writer) rollback() error {
	if w.conn.AutocommitEnabled() {
		return nil
	}
	return w.conn.do("ROLLBACK")
}

// forgo takes back the numbers of a group that was undone.
func (w *writer) forgo() {
	w.last, w.lastAt = w.committed.position()
	clear(w.changed)
}

// end commits and answers.
func (w *writer) end(g *group) error {
	w.timer.Stop()
	if err := w.commit(); err != nil {
		if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultIOErr {
			w.broken = errBroken(err)
		}
		return err
	}
	w.inflight.Store(0)
	w.committed.publish(w.last, w.lastAt, w.changed)
	clear(w.changed)
	g.answer()
	w.bound()
	return nil
}

// answer tells all callers; those left behind are told by their goroutines.
func (g *group) answer() {
	for _, r := range g.requests {
		if !r.deposed {
			close(r.done)
		}
	}
}

// refuse undoes the group and gives all callers the error.
func (w *writer) refuse(g *group, err error) {
	w.timer.Stop()
	err = errors.Join(wrap(err), w.rollback())
	w.forgo()
	w.inflight.Store(0)
	for _, r := range g.requests {
		if !r.final {
			r.err = err
		}
	}
	g.answer()
}

// again says whether the group is run again: once as it is, then each closure
// in a group of its own, so that the guilty one is found.
func (w *writer) again(g *group) bool {
	if g.tries++; g.tries < 2 || w.broken != nil {
		return true
	}
	if len(g.requests) == 1 {
		w.refuse(g, g.fault)
		return false
	}
	if err := w.rollback(); err != nil {
		w.broken = errBroken(err)
		return true
	}
	w.forgo()
	w.timer.Stop()
	w.inflight.Store(0)
	for _, r := range g.requests {
		switch {
		case r.deposed:
		case r.final:
			close(r.done)
		default:
			w.backlog = append(w.backlog, &group{requests: []*request{r}, tries: 1})
		}
	}
	return false
}

// call runs one closure and settles it. It returns false when the role has
// passed on.
func (w *writer) call(r *request) (mine bool) {
	r.err, r.tx, r.saved, r.changed, r.tables = nil, 0, false, 0, nil
	s := &session{conn: w.conn, ctx: r.ctx}
	s.write = func(st *statement) error { return w.save(r, st) }
	if r.meta.Migration {
		s.adapt = withoutRowid
	}
	r.session, w.running = s, r
	w.mu.Lock()
	w.turn, w.looks = r, 0
	w.mu.Unlock()
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			r.err = volvox.Errorf(volvox.Internal, "a transaction panicked and was undone").From(fmt.Errorf("%v\n%s", p, debug.Stack()))
			mine = w.settle(r)
			return
		}
		r.goexit, r.err = true, errors.New("runtime.Goexit")
		if w.settle(r) {
			go w.loop()
		}
	}()
	r.err = r.f(s)
	returned = true
	return w.settle(r)
}

// save opens the savepoint of a closure before its first write.
func (w *writer) save(r *request, st *statement) error {
	if r.tables == nil {
		r.tables = slices.Clip(st.tables) // most closures have one statement
	} else {
		r.tables = append(r.tables, st.tables...)
	}
	if r.saved || r.single && !st.partial {
		return nil
	}
	r.saved = true
	return w.conn.do("SAVEPOINT closure")
}

// settle ends a closure that has returned: keeps or undoes what it did. It
// returns false when the closure was left behind.
func (w *writer) settle(r *request) bool {
	w.mu.Lock()
	if r.deposed {
		w.mu.Unlock()
		r.err = errSlowClosure(w.options.ClosureLimit)
		close(r.done)
		return false
	}
	w.turn, r.final = nil, r.goexit
	w.mu.Unlock()

	s, g := r.session, w.group
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(volvox.Errorf(volvox.Internal, "a transaction was used after its end"))
	w.running = nil
	if r.meta.Migration {
		w.conn.forget()
	}
	if r.err == nil {
		r.err = s.failed
	}
	switch {
	case s.failed != nil && fatal(s.failed):
		g.fault = s.failed
	case w.conn.AutocommitEnabled():
		r.final, g.fault = true, errors.Join(errors.New("a statement rolled back the whole group"), r.err)
		r.err, g.tries = g.fault, g.tries-1
	case r.err != nil:
		g.fault = w.undo(r)
	default:
		g.fault = w.keep(r)
	}
	return true
}

func (w *writer) undo(r *request) error {
	if !r.saved {
		return nil
	}
	if err := w.conn.do("ROLLBACK TO closure"); err != nil {
		return err
	}
	return w.conn.do("RELEASE closure")
}

// keep records the transaction, if it wrote something.
func (w *writer) keep(r *request) error {
	if r.tx != 0 && (r.session.wrote || r.meta.Migration) {
		now := w.options.Now().UnixMicro()
		w.compare(now)
		at := max(now, w.lastAt+1, w.inflight.Load())
		var workflow, step any
		if r.meta.Workflow != "" {
			workflow, step = r.meta.Workflow, int64(r.meta.Step)
		}
		err := w.conn.do("INSERT INTO transactions (tx, created_at, actor, name, workflow, step) VALUES ($1, $2, $3, $4, $5, $6)",
			r.tx, at, r.meta.Actor, r.meta.Name, workflow, step)
		if err != nil {
			return err
		}
		w.last, w.lastAt = r.tx, at
		w.note(r)
	}
	if !r.saved {
		return nil
	}
	return w.conn.do("RELEASE closure")
}

// note takes down which tables a transaction has changed.
func (w *writer) note(r *request) {
	if r.meta.Migration {
		clear(w.changed)
		w.changed[allTables] = r.tx
		return
	}
	w.changed["transactions"] = r.tx
	for _, t := range r.tables {
		w.changed[t] = r.tx
	}
}

// looks is how often within its limit the timer looks at a closure. It is
// counted and not timed: a process that stood still, or a machine that was
// too busy to run it, is not the closure's fault.
const looks = 4

// inspect is the timer's: it leaves a closure behind that takes too long. The
// group starts anew without it.
func (w *writer) inspect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.turn
	if w.inflight.Load() == 0 {
		return
	}
	if w.looks++; r == nil || r.meta.Migration || w.looks <= looks {
		w.timer.Reset(w.options.ClosureLimit / looks)
		return
	}
	w.turn, r.deposed, r.final = nil, true, true
	slow := errSlowClosure(w.options.ClosureLimit)
	s := r.session
	s.killed.Store(slow)
	close(w.conn.kill)
	s.mu.Lock()
	s.end(slow)
	s.mu.Unlock()
	w.running = nil
	w.conn.arm()
	w.group.fault = slow
	go w.loop()
}
