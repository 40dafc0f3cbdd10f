// Package store is the kernel: tables, transactions, history and the feed of
// changes. A driver (store/sqlite) gives a *DB.
package store

import (
	"context"
	"io/fs"
	"iter"
	"time"
)

// DB is an open kernel.
type DB struct{}

// Schema is what one package puts into the kernel: numbered migrations
// (NNN_name.sql at the root of the file system), applied in order, once.
//
// A migration is SQL in the common dialect. Its comments are the
// documentation that `volvox sql --tables` prints: the lines before CREATE
// TABLE or CREATE VIEW describe the table, the comment after a column the
// column. Words at the start of a comment change what the store does:
// "append-only:" before a table means no history (its rows are their
// history), "secret:" after a column means that its value is masked in SQL,
// feed and history. The store adds the columns tx and rev, the history table
// and its triggers by itself. A BIGINT column whose name ends in _at is a
// time, in microseconds since 1970 UTC.
type Schema struct {
	Owner      string // the package
	Migrations fs.FS
}

// Migrate brings the kernel to the given schemas. Called again it does
// nothing; a kernel that a newer version wrote is E_NEWER_SCHEMA.
func (db *DB) Migrate(ctx context.Context, schemas ...Schema) error { panic("not built") }

// Update runs f in a serializable transaction and returns when it is durable.
// f may run more than once. An error of f undoes f alone.
func (db *DB) Update(ctx context.Context, f func(tx *Tx) error) error { panic("not built") }

// Exec is one statement as a transaction of its own: the cheapest durable
// write. It returns the number of rows changed.
func (db *DB) Exec(ctx context.Context, stmt string, args ...any) (int64, error) {
	panic("not built")
}

// View runs f on one consistent snapshot, without blocking writers.
func (db *DB) View(ctx context.Context, f func(tx *Tx) error) error { panic("not built") }

// AsOf is the kernel as it was at t; reading it is all one can do.
func (db *DB) AsOf(t time.Time) *Past { panic("not built") }

// Past is the kernel at a moment.
type Past struct{}

// View runs f on the snapshot of that moment.
func (p *Past) View(ctx context.Context, f func(tx *Tx) error) error { panic("not built") }

// Ask answers one read-only statement of a person: times are RFC 3339 text
// with microseconds, secrets are masked, qualified names and writes are
// refused. each is called for every row; the columns are also returned when
// there is no row.
func (db *DB) Ask(ctx context.Context, q Question, each func(columns []string, row []any) error) ([]string, error) {
	panic("not built")
}

// Question is a statement and how to answer it.
type Question struct {
	SQL     string
	AsOf    time.Time     // zero: now
	MaxRows int           // more is E_TOO_MANY_ROWS; 0: 100,000
	Timeout time.Duration // 0: 30 s
}

// Watch yields the changes of the tables after a position, whole
// transactions in commit order, until ctx ends. No table means all.
func (db *DB) Watch(ctx context.Context, from Start, tables ...string) iter.Seq2[Change, error] {
	panic("not built")
}

// Start is where a watch begins.
type Start struct{}

// From starts after a position; [Now] starts at the present.
func From(position int64) Start { panic("not built") }

// Now starts with the next transaction.
func Now() Start { panic("not built") }

// Change is one change of one row.
type Change struct {
	Tx    int64          `json:"tx"` // the transaction, which is the position
	Table string         `json:"table"`
	Op    string         `json:"op"` // insert, update or delete
	Rev   int64          `json:"rev"`
	Row   map[string]any `json:"row"`            // as it is now; for a delete, as it was last
	Last  bool           `json:"last,omitempty"` // the last change of its transaction
}

// Tables describes all tables and views.
func (db *DB) Tables(ctx context.Context) ([]Table, error) { panic("not built") }

// Table describes a table or view.
type Table struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner"`
	Doc     string   `json:"doc"`
	Columns []Column `json:"columns"`
}

// Column describes a column.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // text, integer, real, boolean, time, json
	Doc  string `json:"doc"`
}

// Close waits for what is being written and closes the kernel. Closing twice
// is allowed.
func (db *DB) Close() error { panic("not built") }

// Tx is a transaction being run. It ends with the closure it was given to.
type Tx struct{}

// Context is the context of the call that runs the transaction.
func (tx *Tx) Context() context.Context { panic("not built") }

// Exec runs a statement and returns the number of rows changed. Placeholders
// are $1, $2, …; arguments are nil, bool, integers, floats, strings, string
// types, []byte, time.Time (stored as microseconds), and json.RawMessage; any
// other struct, map or slice is stored as its JSON.
func (tx *Tx) Exec(stmt string, args ...any) (int64, error) { panic("not built") }

// Query yields the rows of a statement.
func (tx *Tx) Query(stmt string, args ...any) iter.Seq2[*Row, error] { panic("not built") }

// Row is one row of an answer, valid until the next one.
type Row struct{}

// Scan copies the columns into what dest points to, in order, the reverse of
// what [Tx.Exec] does with arguments.
func (r *Row) Scan(dest ...any) error { panic("not built") }

// All returns the rows of a statement as values of T: a struct whose fields'
// json tags name columns (columns without a field are an error, fields
// without a column stay zero), or a single column's type.
func All[T any](tx *Tx, stmt string, args ...any) ([]T, error) { panic("not built") }

// One is [All] for exactly one row; none is an error of kind not found.
func One[T any](tx *Tx, stmt string, args ...any) (T, error) { panic("not built") }

// WithName names the transactions made under the context; the name stands in
// the table transactions.
func WithName(ctx context.Context, name string) context.Context { panic("not built") }

// WithStep says which workflow and step the transactions under the context
// belong to.
func WithStep(ctx context.Context, workflow string, step int) context.Context { panic("not built") }
