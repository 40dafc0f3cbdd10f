package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

const (
	maxGroup   = 512  // closures in one commit
	checkEvery = 32   // commits between two looks at the length of the WAL
	maxFrames  = 4000 // pages of the WAL that start a checkpoint

	busyLimit = 5 * time.Second // how long another program may hold the file
	tolerance = 1000            // microseconds that the times of a burst of transactions may run ahead
	allTables = ""              // in a set of changed tables: all of them
)

// writer owns the one connection that writes. The goroutine that runs loop
// holds the writer's role: it alone uses the connection and the fields of the
// second block. The role passes to a new goroutine when a closure ends the
// one that runs it (Goexit) or has to be left behind (too slow).
type writer struct {
	options Options
	readers *readers // who make way
	queue   chan *request
	ended   chan struct{} // closed when the role has ended
	gate    sync.RWMutex  // guards closed and sending to queue
	closed  bool

	conn    *conn
	group   *group
	backlog []*group
	running *request         // whose statement may ask for its number
	last    int64            // the last number given in this group
	lastAt  int64            // and its time
	changed map[string]int64 // the last transaction of this group on a table
	commits int              // since the last look at the WAL
	patient int64            // the length of the WAL at which readers are to make way
	broken  error            // why nothing is written any more
	commit  func() error
	timer   *time.Timer

	mu    sync.Mutex // guards the closure being run, against the timer
	turn  *request
	looks int // how often the timer has seen it run

	inflight  atomic.Int64 // when the group being written began, 0: none is
	behind    atomic.Int64 // when the clock was found to be behind the last transaction, 0: it is not
	committed feed
}

// feed tells who waits that there is a new transaction.
type feed struct {
	mu      sync.Mutex
	last    int64
	at      int64            // its time
	changed map[string]int64 // the last transaction on a table
	before  int64            // the last one that may have changed those not in changed
	next    chan struct{}    // nil: nobody waits
	shut    bool             // there will be no more
}

func (f *feed) publish(tx, at int64, changed map[string]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tx == f.last {
		return
	}
	f.last, f.at = tx, at
	if n, ok := changed[allTables]; ok {
		clear(f.changed)
		f.before = n
	}
	maps.Copy(f.changed, changed)
	if f.next != nil {
		close(f.next)
		f.next = nil
	}
}

func (f *feed) look(tables []string) (last, changed int64, next <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range tables {
		tx, ok := f.changed[t]
		if !ok {
			tx = f.before
		}
		changed = max(changed, tx)
	}
	if f.next == nil {
		f.next = make(chan struct{})
		if f.shut {
			close(f.next)
		}
	}
	return f.last, changed, f.next
}

// close wakes who waits, for good.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = true
	if f.next != nil {
		close(f.next)
		f.next = nil
	}
}

func (f *feed) position() (tx, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.at
}

func newWriter(path string, o Options, rs *readers) (*writer, error) {
	c, err := openConn(path, sqlite.OpenReadWrite, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
		"recursive_triggers=ON", "wal_autocheckpoint=0", "journal_size_limit=67108864", "cache_size=-16000", "temp_store=MEMORY")
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(busyLimit)
	w := &writer{options: o, readers: rs, conn: c, queue: make(chan *request, 1024), ended: make(chan struct{}), changed: map[string]int64{}}
	w.committed.changed = map[string]int64{}
	w.commit = func() error { return c.do("COMMIT") }
	if err := w.recall(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if err := w.conn.SetAuthorizer(sqlite.AuthorizeFunc(w.authorize)); err != nil {
		return nil, errors.Join(err, c.close())
	}
	w.timer = time.AfterFunc(time.Hour, w.inspect)
	w.timer.Stop()
	go w.loop()
	return w, nil
}

// recall reads the last transaction there is.
func (w *writer) recall() error {
	err := w.conn.CreateFunction("volvox_tx", &sqlite.FunctionImpl{AllowIndirect: true, Scalar: w.number})
	if err != nil {
		return err
	}
	n, err := w.conn.number("SELECT count(*) FROM sqlite_schema WHERE name = 'transactions'")
	if err != nil || n == 0 {
		return err
	}
	if w.last, err = w.conn.number("SELECT max(tx) FROM transactions"); err != nil {
		return err
	}
	w.lastAt, err = w.conn.number("SELECT created_at FROM transactions WHERE tx = $1", w.last)
	w.committed.last, w.committed.at, w.committed.before = w.last, w.lastAt, w.last
	w.compare(w.options.Now().UnixMicro())
	return err
}

// number is the SQL function volvox_tx: the number of the transaction being
// run, which it has from its first write on; NULL, which no column tx takes,
// if none is.
func (w *writer) number(sqlite.Context, []sqlite.Value) (sqlite.Value, error) {
	r := w.running
	if r == nil {
		return sqlite.Value{}, nil // the library takes an error for a result
	}
	if r.tx == 0 {
		r.tx = w.last + 1
	}
	return sqlite.IntegerValue(r.tx), nil
}

// do hands a request to the writer and waits for its end.
func (w *writer) do(r *request) (int64, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	r.done = make(chan struct{})
	w.gate.RLock()
	if w.closed {
		w.gate.RUnlock()
		return 0, errClosed()
	}
	w.queue <- r
	w.gate.RUnlock()
	<-r.done
	if r.goexit {
		runtime.Goexit()
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.changed, nil
}

// compare looks whether the clock has been set back to before the last
// transaction, which makes times ambiguous until it has caught up.
func (w *writer) compare(now int64) {
	behind := w.behind.Load()
	switch {
	case now > w.lastAt:
		w.behind.Store(0)
	case now < w.lastAt-tolerance && (behind == 0 || now < behind):
		w.behind.Store(now)
	}
}

// passed returns when all transactions up to the moment are committed. A
// moment since the clock was set back is the latest: what was committed
// before it was committed at a later time.
func (w *writer) passed(t time.Time) (latest bool, err error) {
	_, at := w.committed.position()
	now, micros := w.options.Now(), t.UnixMicro()
	if t.After(now) && micros > at {
		return false, store.ErrFuture(t)
	}
	behind := w.behind.Load()
	latest = behind != 0 && behind <= micros && micros < at && !t.After(now)
	if began := w.inflight.Load(); began == 0 || began > micros {
		return latest, nil
	}
	_, err = w.do(&request{ctx: context.Background(), f: func(store.Conn) error { return nil }})
	return latest, err
}

// Committed is store.Driver's.
func (w *writer) Committed(tables ...string) (last, changed int64, next <-chan struct{}) {
	return w.committed.look(tables)
}

// stop lets the writer finish what waits; false if that was done before.
func (w *writer) stop() bool {
	w.gate.Lock()
	if w.closed {
		w.gate.Unlock()
		return false
	}
	w.closed = true
	close(w.queue)
	w.gate.Unlock()
	<-w.ended
	w.timer.Stop()
	w.committed.close()
	return true
}

func (w *writer) close() error {
	var err error
	if w.broken == nil {
		_, err = w.checkpoint("TRUNCATE")
	}
	return errors.Join(err, w.conn.close())
}

// loop is the writer's role.
func (w *writer) loop() {
	for {
		if w.group == nil && !w.collect() {
			close(w.ended)
			return
		}
		if !w.serve(w.group) {
			return
		}
		w.group = nil
	}
}

// collect makes a group of what waits; false when there will be no more.
func (w *writer) collect() bool {
	if len(w.backlog) > 0 {
		w.group, w.backlog = w.backlog[0], w.backlog[1:]
		return true
	}
	r, ok := <-w.queue
	if !ok {
		return false
	}
	g := &group{requests: []*request{r}}
	for len(g.requests) < maxGroup {
		select {
		case r, ok := <-w.queue:
			if !ok {
				w.group = g
				return true
			}
			g.requests = append(g.requests, r)
			continue
		default:
		}
		break
	}
	w.group = g
	return true
}

// checkpoint copies the WAL into the database file, by the writer itself:
// SQLite's own checkpoint at commit keeps silent about a failed fsync. It
// returns the number of pages that the WAL holds.
func (w *writer) checkpoint(mode string) (frames int64, err error) {
	_, err = w.conn.rows("PRAGMA wal_checkpoint("+mode+")", nil, func(s *statement) error {
		frames = s.ColumnInt64(1)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames, nil
}

// bound keeps the WAL short.
func (w *writer) bound() {
	cleared := w.readers.cleared()
	if w.commits++; w.broken != nil || w.commits < checkEvery && cleared == nil {
		return
	}
	w.commits = 0
	frames, err := w.checkpoint("NOOP")
	if err == nil && frames > maxFrames {
		_, err = w.checkpoint("PASSIVE")
	}
	switch {
	case cleared != nil: // all of the WAL has been copied, and the next write begins it anew
		w.readers.goOn(cleared)
	case frames < longLog:
		w.patient = longLog
	case frames > w.patient:
		w.patient = frames + longLog
		w.readers.makeWay(frames > endlessLog)
	}
	if err != nil {
		w.broken = errBroken(err)
	}
}
