package sqlite

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// How many prepared statements a connection keeps.
const (
	maxStatements = 512
	maxAsked      = 32 // of a connection for persons
)

// conn is a connection with its prepared statements. One goroutine uses it at
// a time.
type conn struct {
	*sqlite.Conn
	statements map[string]*statement
	own        map[string]*statement // those of the driver itself
	kill       chan struct{}         // closed to interrupt what is running
	asked      bool                  // a person's statements are run, which seldom come again
	trusted    bool                  // the driver's own statements are being prepared
	built      *store.Catalog
	shown      map[string]bool // what the views read, in small letters
	moment     time.Time       // what is shown; zero: the present
	refused    *volvox.Error   // what the authorizer said last
	objection  *volvox.Error   // why a function made its statement fail, by a value that is too long
	writing    []string        // the tables that the statement being prepared writes
}

// statement is a prepared statement.
type statement struct {
	*sqlite.Stmt
	columns []store.Column
	params  []int // the place of $1, $2, … among SQLite's parameters
	writes  bool
	tables  []string // those that it writes
	partial bool     // may fail and leave something behind
	busy    bool
	cached  bool
}

func openConn(path string, flags sqlite.OpenFlags, pragmas ...string) (*conn, error) {
	raw, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, statements: map[string]*statement{}, own: map[string]*statement{}}
	c.arm()
	for _, p := range pragmas {
		if err := c.do("PRAGMA " + p); err != nil {
			return nil, fmt.Errorf("PRAGMA %s: %w", p, closing(err, raw))
		}
	}
	return c, nil
}

func closing(err error, raw *sqlite.Conn) error {
	raw.Close()
	return err
}

// arm makes the connection usable after an interrupt.
func (c *conn) arm() {
	c.kill = make(chan struct{})
	c.SetInterrupt(c.kill)
}

// prepare returns the statement of a text, ready to bind. Give it back with
// release.
func (c *conn) prepare(text string) (*statement, error) {
	cache := c.statements
	if c.trusted {
		cache = c.own
	}
	s := cache[text]
	if s != nil && !s.busy {
		s.busy = true
		return s, nil
	}
	c.writing = nil
	raw, rest, err := c.PrepareTransient(text)
	if err != nil {
		return nil, err
	}
	fresh := &statement{Stmt: raw, writes: writes(text), tables: c.writing, partial: partial(text), busy: true}
	if behind := strings.Trim(text[len(text)-rest:], " \t\r\n;"); behind != "" {
		err = fmt.Errorf("one statement at a time: behind the first stands %q", behind)
	} else {
		fresh.params, err = params(raw)
	}
	if err != nil {
		raw.Finalize()
		return nil, err
	}
	for i := range raw.ColumnCount() {
		fresh.columns = append(fresh.columns, store.Column{Name: raw.ColumnName(i)})
	}
	if s == nil {
		if len(cache) >= maxStatements || c.asked && len(cache) >= maxAsked {
			c.drop(cache)
		}
		cache[text], fresh.cached = fresh, true
	}
	return fresh, nil
}

// params finds the places of $1, $2, … among the parameters, which SQLite
// numbers by their first use.
func params(s *sqlite.Stmt) ([]int, error) {
	places := make([]int, s.BindParamCount())
	for p := 1; p <= len(places); p++ {
		n, err := strconv.Atoi(strings.TrimPrefix(s.BindParamName(p), "$"))
		if err != nil || n < 1 || n > len(places) {
			return nil, fmt.Errorf("placeholders are $1, $2, … without a gap")
		}
		places[n-1] = p
	}
	return places, nil
}

func (c *conn) release(s *statement) {
	s.Reset()
	if s.cached {
		s.ClearBindings()
		s.busy = false
		return
	}
	s.Finalize()
}

// forget drops the statements that are not in use.
func (c *conn) forget() {
	c.drop(c.statements)
	c.drop(c.own)
}

func (c *conn) drop(cache map[string]*statement) {
	for text, s := range cache {
		delete(cache, text)
		if s.busy {
			s.cached = false
			continue
		}
		s.Finalize()
	}
}

func (c *conn) close() error {
	c.forget()
	return c.Close()
}

// do runs a statement of the driver's own, past the authorizer.
func (c *conn) do(text string, args ...any) error {
	_, err := c.rows(text, args, func(*statement) error { return nil })
	return err
}

// rows runs a statement of the driver's own and calls each for its rows.
func (c *conn) rows(text string, args []any, each func(*statement) error) (int, error) {
	was := c.trusted
	c.trusted = true
	defer func() { c.trusted = was }()
	s, err := c.prepare(text)
	if err != nil {
		return 0, err
	}
	defer c.release(s)
	if err := s.bind(args); err != nil {
		return 0, err
	}
	for {
		more, err := s.Step()
		if err != nil {
			return 0, err
		}
		if !more {
			return c.Changes(), nil
		}
		if err := each(s); err != nil {
			return 0, err
		}
	}
}

// once runs a statement of the driver's own that will not come again.
func (c *conn) once(text string) error {
	err := c.do(text)
	if s := c.own[text]; s != nil && !s.busy {
		delete(c.own, text)
		s.Finalize()
	}
	return err
}

// number runs a query of the driver's own for one integer, 0 for no row.
func (c *conn) number(text string, args ...any) (n int64, err error) {
	_, err = c.rows(text, args, func(s *statement) error { n = s.ColumnInt64(0); return nil })
	return n, err
}

// writes says whether a statement may change something.
func writes(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n(")
	word := strings.ToUpper(text[:min(len(text), 6)])
	return word != "SELECT" && word != "VALUES"
}

var orFail = regexp.MustCompile(`(?i)\bOR\s+FAIL\b`)

// partial says whether a statement that fails may leave something behind.
func partial(text string) bool { return orFail.MatchString(text) }

func (s *statement) bind(args []any) error {
	if len(s.params) != len(args) {
		return fmt.Errorf("the statement has %d placeholders, %d arguments were given", len(s.params), len(args))
	}
	for i, a := range args {
		p := s.params[i]
		switch a := a.(type) {
		case nil:
			s.BindNull(p)
		case bool:
			s.BindBool(p, a)
		case int64:
			s.BindInt64(p, a)
		case float64:
			s.BindFloat(p, a)
		case string:
			s.BindText(p, a)
		case []byte:
			s.BindBytes(p, a)
		default:
			return fmt.Errorf("argument $%d: a %T cannot be bound", i+1, a)
		}
	}
	return nil
}

// session is the store.Conn of one transaction. Another goroutine may end it
// at any moment, so everything happens under its lock.
type session struct {
	mu     sync.Mutex
	conn   *conn
	ctx    context.Context
	over   error // why there are no more statements
	failed error // the first statement that failed
	wrote  bool  // a row was changed, or may have been
	open   []*rows
	write  func(*statement) error            // called before a statement that writes
	adapt  func(text string) (string, error) // changes or refuses a statement
	typed  func(text string) ([]store.Column, error)
	killed atomic.Pointer[volvox.Error] // why the connection was interrupted
}

// ready says whether a statement may run now.
func (s *session) ready() error {
	switch {
	case s.over != nil:
		return s.over
	case s.failed != nil:
		return fmt.Errorf("a statement before it failed: %w", s.failed)
	}
	if err := s.ctx.Err(); err != nil {
		s.failed = context.Cause(s.ctx)
		return s.failed
	}
	return nil
}

func (s *session) fail(err error) error {
	if why := s.killed.Load(); why != nil && sqlite.ErrCode(err) == sqlite.ResultInterrupt {
		err = why
	}
	if why := s.conn.refused; why != nil && sqlite.ErrCode(err) == sqlite.ResultAuth {
		err = why
	}
	if why := s.conn.objection; why != nil && sqlite.ErrCode(err) == sqlite.ResultTooBig {
		err, s.conn.objection = why, nil
	}
	if s.failed == nil && s.typed != nil {
		s.failed = asked(err)
	}
	if s.failed == nil {
		s.failed = wrap(err)
	}
	return s.failed
}

// start prepares and binds under the lock.
func (s *session) start(text string, args []any) (*statement, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	if s.adapt != nil {
		var err error
		if text, err = s.adapt(text); err != nil {
			return nil, s.fail(err)
		}
	}
	st, err := s.conn.prepare(text)
	if err != nil {
		return nil, s.fail(err)
	}
	if st.writes && s.write != nil {
		err = s.write(st)
	}
	if err == nil {
		err = st.bind(args)
	}
	if err != nil {
		s.conn.release(st)
		return nil, s.fail(err)
	}
	return st, nil
}

// Exec is store.Conn's.
func (s *session) Exec(text string, args []any) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.start(text, args)
	if err != nil {
		return 0, err
	}
	defer s.conn.release(st)
	for {
		more, err := st.Step()
		if err != nil {
			return 0, s.fail(err)
		}
		if !more {
			break
		}
	}
	if !st.writes {
		return 0, nil
	}
	n := int64(s.conn.Changes())
	s.wrote = s.wrote || n > 0
	return n, nil
}

// Query is store.Conn's.
func (s *session) Query(text string, args []any) (store.Rows, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.start(text, args)
	if err != nil {
		return nil, err
	}
	s.wrote = s.wrote || st.writes
	r := &rows{session: s, statement: st, columns: st.columns}
	if s.typed != nil {
		if r.columns, err = s.typed(text); err != nil {
			s.conn.release(st)
			return nil, s.fail(err)
		}
	}
	s.open = append(s.open, r)
	return r, nil
}

// end makes why the answer to all further statements, and gives the
// connection back.
func (s *session) end(why error) {
	for _, r := range s.open {
		s.conn.release(r.statement)
		r.statement = nil
	}
	s.open, s.over = nil, why
}

// rows is the store.Rows of a session.
type rows struct {
	session   *session
	statement *statement // nil when closed
	columns   []store.Column
}

func (r *rows) Columns() []store.Column { return r.columns }

func (r *rows) Next() (bool, error) {
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return false, err
	}
	if r.statement == nil {
		return false, nil
	}
	more, err := r.statement.Step()
	if err != nil {
		r.close()
		return false, s.fail(err)
	}
	if !more {
		r.close()
	}
	return more, nil
}

func (r *rows) Close() {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	r.close()
}

func (r *rows) close() {
	if r.statement == nil {
		return
	}
	s := r.session
	s.open = slices.DeleteFunc(s.open, func(o *rows) bool { return o == r })
	s.conn.release(r.statement)
	r.statement = nil
}

func (r *rows) Kind(i int) (k store.Kind) {
	column(r, func(s *statement) {
		switch s.ColumnType(i) {
		case sqlite.TypeInteger:
			k = store.KindInt
			if r.columns[i].Type == "boolean" {
				k = store.KindBool
			}
		case sqlite.TypeFloat:
			k = store.KindFloat
		case sqlite.TypeText:
			k = store.KindText
		case sqlite.TypeBlob:
			k = store.KindBytes
		}
	})
	return k
}

func (r *rows) Int(i int) (n int64) {
	column(r, func(s *statement) { n = s.ColumnInt64(i) })
	return n
}

func (r *rows) Float(i int) (f float64) {
	column(r, func(s *statement) { f = s.ColumnFloat(i) })
	return f
}

func (r *rows) Text(i int) (t string) {
	column(r, func(s *statement) { t = s.ColumnText(i) })
	return t
}

func (r *rows) Bytes(i int) (b []byte) {
	column(r, func(s *statement) {
		b = make([]byte, s.ColumnLen(i))
		s.ColumnBytes(i, b)
	})
	return b
}

// column calls f with the statement, unless the session has ended.
func column(r *rows, f func(s *statement)) {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	if r.statement != nil {
		f(r.statement)
	}
}
