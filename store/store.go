// Package store is the kernel: tables, transactions, history and the feed of
// changes. A driver (store/sqlite) gives a *DB.
//
// It promises: what Update or Exec has answered is on the disk; transactions
// are serializable; every version of every row is kept with the transaction
// that made it, and the tables can be read as they were at any moment since
// the kernel was made; a watch sees every change, whole transactions in the
// order of their commits.
//
// It owns the tables transactions and migrations.
package store

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/volvox-os/volvox"
)

// DB is an open kernel. All its methods may be called by many goroutines.
type DB struct {
	driver    Driver
	catalog   atomic.Pointer[Catalog]
	plans     sync.Map // reflect.Type -> *plan
	migrating sync.Mutex
	known     map[string]parsedOwner // by owner; guarded by migrating
}

// New makes a DB of a driver; the driver's own Open calls it. The tables of
// the store itself are made.
func New(ctx context.Context, d Driver) (*DB, error) {
	db := &DB{driver: d, known: map[string]parsedOwner{}}
	db.catalog.Store(&Catalog{})
	if err := db.Migrate(ctx, Schema{Owner: "store", Migrations: migrations}); err != nil {
		return nil, err
	}
	return db, nil
}

// Update runs f in a serializable transaction and returns when it is durable.
// f may run more than once, so it changes nothing but the kernel and what it
// sets anew each time. An error of f, a panic (E_INTERNAL, with the stack in
// its cause) or a runtime.Goexit undoes f alone. f has a second
// (E_SLOW_CLOSURE); it waits for nothing but its statements, and above all
// not for another transaction: one started with tx.Context() is refused
// (E_NESTED_TRANSACTION), one started with another context waits until f is
// stopped. ctx is looked at between statements.
func (db *DB) Update(ctx context.Context, f func(tx *Tx) error) error {
	if err := refuseNested(ctx); err != nil {
		return err
	}
	return db.driver.Update(ctx, metaOf(ctx), func(c Conn) error { return db.run(ctx, c, f) })
}

// Exec is one statement as a transaction of its own: the cheapest durable
// write. It returns the number of rows changed. Arguments are those of
// [Tx.Exec].
func (db *DB) Exec(ctx context.Context, stmt string, args ...any) (int64, error) {
	if err := refuseNested(ctx); err != nil {
		return 0, err
	}
	values, err := toValues(args)
	if err != nil {
		return 0, err
	}
	return db.driver.Exec(ctx, metaOf(ctx), stmt, values)
}

// View runs f on one consistent snapshot, without blocking writers. The
// snapshot is given back after 30 s (E_SLOW_VIEW) or when ctx ends, and f's
// next statement fails. A write is E_READ_ONLY.
func (db *DB) View(ctx context.Context, f func(tx *Tx) error) error {
	return db.view(ctx, Look{}, f)
}

func (db *DB) view(ctx context.Context, look Look, f func(tx *Tx) error) error {
	if err := refuseNested(ctx); err != nil {
		return err
	}
	look.Catalog = db.catalog.Load()
	return db.driver.View(ctx, look, func(c Conn) error { return db.run(ctx, c, f) })
}

// Close waits for what is being written and closes the kernel. Closing twice
// is allowed. What comes after it fails with E_UNAVAILABLE.
func (db *DB) Close() error { return db.driver.Close() }

type nameKey struct{}

type stepKey struct{}

type stepOf struct {
	workflow string
	step     int
}

// WithName names the transactions made under the context; the name stands in
// the table transactions.
func WithName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, nameKey{}, name)
}

// WithStep says which workflow and step the transactions under the context
// belong to.
func WithStep(ctx context.Context, workflow string, step int) context.Context {
	return context.WithValue(ctx, stepKey{}, stepOf{workflow, step})
}

func metaOf(ctx context.Context) Meta {
	m := Meta{Actor: string(volvox.ActorOf(ctx))}
	m.Name, _ = ctx.Value(nameKey{}).(string)
	if s, ok := ctx.Value(stepKey{}).(stepOf); ok {
		m.Workflow, m.Step = s.workflow, s.step
	}
	return m
}
