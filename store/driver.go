package store

import (
	"context"
	"time"
)

// Driver is one kind of database beneath a [DB]. store/storetest is what a
// driver must pass.
type Driver interface {
	// Update runs f in a serializable transaction and returns when it is
	// durable. f may run more than once. An error, a panic (returned as an
	// error) or a Goexit (repeated in the caller's goroutine) of f undoes f
	// alone. Once a statement of f has failed, f can only be undone.
	Update(ctx context.Context, m Meta, f func(Conn) error) error
	// Exec is Update with one statement.
	Exec(ctx context.Context, m Meta, stmt string, args []any) (int64, error)
	// View runs f on one consistent snapshot. A view that is ended because it
	// took longer than look.Limit is E_SLOW_VIEW.
	View(ctx context.Context, look Look, f func(Conn) error) error
	// Committed is the last durable transaction, the last of those that may
	// have changed one of the tables, and a channel that is closed when there
	// is a later transaction, or will be none.
	Committed(tables ...string) (last, changed int64, next <-chan struct{})
	// Inspect lists the tables and views there are, without the driver's own,
	// in the order in which they were made.
	Inspect(c Conn) ([]Relation, error)
	// Keep brings history, triggers and indexes of a table in line with its
	// columns, in the transaction c of a migration.
	Keep(c Conn, r Relation, appendOnly bool) error
	// Release removes what Keep made, except for the history, so that the
	// table can be altered.
	Release(c Conn, table string) error
	// Close waits for what is being written. It may be called twice.
	Close() error
}

// Conn is a transaction being run by a driver. Arguments are nil, bool,
// int64, float64, string and []byte. It is used by one goroutine.
type Conn interface {
	Exec(stmt string, args []any) (int64, error)
	Query(stmt string, args []any) (Rows, error)
}

// Rows are the rows of an answer. Next comes before each; after false or an
// error nothing but Close may be called. Close may be called twice.
type Rows interface {
	Columns() []Column // Type is empty where the driver does not know it
	Next() (bool, error)
	Kind(i int) Kind
	Int(i int) int64
	Float(i int) float64
	Text(i int) string
	Bytes(i int) []byte // a copy
	Close()
}

// Kind is the kind of one value of a row.
type Kind byte

// The kinds of values.
const (
	KindNull Kind = iota
	KindInt
	KindFloat
	KindText
	KindBytes
	KindBool
)

// Meta says who does what in a transaction.
type Meta struct {
	Actor     string
	Name      string
	Workflow  string
	Step      int
	Migration bool // may change the schema, and take its time
}

// Look says what a view sees.
type Look struct {
	Catalog *Catalog
	At      time.Time     // zero: the present
	Asked   bool          // a person asks: texts for times, masks for secrets, nothing but SELECT
	Limit   time.Duration // 0: the driver's, 30 s
}

// Relation is a table or view as the database has it.
type Relation struct {
	Name    string
	View    string // the SELECT of a view; empty for a table
	Columns []RelationColumn
}

// RelationColumn is a column as the database has it.
type RelationColumn struct {
	Name    string
	Type    string // as declared, in capitals
	NotNull bool
	Default string // an expression; empty for none
	Key     int    // the place in the primary key, from 1; 0 when not part of it
}

// Keys returns the columns of the primary key in order.
func (r Relation) Keys() []string {
	var keys []string
	for n := 1; ; n++ {
		found := false
		for _, c := range r.Columns {
			if c.Key == n {
				keys, found = append(keys, c.Name), true
			}
		}
		if !found {
			return keys
		}
	}
}

// Has says whether there is a column of the name.
func (r Relation) Has(column string) bool {
	for _, c := range r.Columns {
		if c.Name == column {
			return true
		}
	}
	return false
}
