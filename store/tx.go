package store

import (
	"context"
	"iter"

	"github.com/volvox-os/volvox"
)

// Tx is a transaction being run. It ends with the closure it was given to and
// belongs to one goroutine.
//
// A statement that fails dooms the transaction: the statements after it fail
// too, and the transaction is undone even if the closure returns nil. Write
// INSERT … ON CONFLICT where a conflict is expected. A violated UNIQUE or
// PRIMARY KEY constraint has code E_EXISTS.
type Tx struct {
	db   *DB
	ctx  context.Context
	conn Conn
	over bool
}

type txKey struct{}

// Context is the context of the call that runs the transaction. It also says
// that a transaction is open: Update, Exec and View of a DB refuse it with
// E_NESTED_TRANSACTION.
func (tx *Tx) Context() context.Context { return tx.ctx }

func refuseNested(ctx context.Context) error {
	if ctx.Value(txKey{}) == nil {
		return nil
	}
	return volvox.Errorf(volvox.NestedTransaction, "a transaction was started inside another one").
		Because("the context belongs to a transaction that is open")
}

// run gives f a transaction on c and ends it when f returns, however it does.
func (db *DB) run(ctx context.Context, c Conn, f func(tx *Tx) error) error {
	tx := &Tx{db: db, conn: c}
	tx.ctx = context.WithValue(ctx, txKey{}, tx)
	defer func() { tx.over = true }()
	return f(tx)
}

func (tx *Tx) open() error {
	if tx.over {
		return volvox.Errorf(volvox.Internal, "a transaction was used after its end")
	}
	return nil
}

// Exec runs a statement and returns the number of rows changed. Placeholders
// are $1, $2, …; arguments are nil, bool, integers, floats, strings, string
// types, []byte, time.Time (stored as microseconds, the zero time as NULL),
// json.RawMessage, pointers (nil is NULL) and what has MarshalText, itself or its pointer; any other
// struct, map or slice is stored as its JSON.
func (tx *Tx) Exec(stmt string, args ...any) (int64, error) {
	if err := tx.open(); err != nil {
		return 0, err
	}
	values, err := toValues(args)
	if err != nil {
		return 0, err
	}
	return tx.conn.Exec(stmt, values)
}

// Query yields the rows of a statement. Other statements may run while it is
// being read.
func (tx *Tx) Query(stmt string, args ...any) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		rows, err := tx.rows(stmt, args)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		row := &Row{db: tx.db, rows: rows}
		for {
			more, err := rows.Next()
			if err != nil {
				yield(nil, err)
				return
			}
			if !more || !yield(row, nil) {
				return
			}
		}
	}
}

func (tx *Tx) rows(stmt string, args []any) (Rows, error) {
	if err := tx.open(); err != nil {
		return nil, err
	}
	values, err := toValues(args)
	if err != nil {
		return nil, err
	}
	return tx.conn.Query(stmt, values)
}
