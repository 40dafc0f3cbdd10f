package store

import (
	"context"
	"time"
)

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
