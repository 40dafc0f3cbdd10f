package store

import (
	"context"
	"time"

	"github.com/volvox-os/volvox"
)

// AsOf is the kernel as it was at t; reading it is all one can do. Tables are
// seen with the columns they have now.
func (db *DB) AsOf(t time.Time) *Past { return &Past{db: db, at: t} }

// Past is the kernel at a moment.
type Past struct {
	db *DB
	at time.Time
}

// View runs f on the snapshot of that moment: the same statements as in
// [DB.View], read from what the tables held then. A moment that has not come
// yet is E_FUTURE, one before the kernel's first transaction E_PRUNED. Names
// with a schema before them are refused with E_BAD_SQL.
func (p *Past) View(ctx context.Context, f func(tx *Tx) error) error {
	if p.at.IsZero() {
		return ErrPruned(p.at)
	}
	return p.db.view(ctx, Look{At: p.at}, f)
}

// ErrFuture is the error of a moment that has not come.
func ErrFuture(t time.Time) error {
	return volvox.Errorf(volvox.Future, "%s has not come yet", t.UTC().Format(time.RFC3339)).
		Because("only the present and the past can be read").
		WithTry("ask for a moment in the past, such as -10m")
}

// ErrPruned is the error of a moment before the history that is kept.
func ErrPruned(t time.Time) error {
	return volvox.Errorf(volvox.Pruned, "there is no history of %s", t.UTC().Format(time.RFC3339)).
		Because("it is older than the computer, or than all history that is kept").
		WithTry(`volvox sql "SELECT min(created_at) FROM transactions"`)
}
