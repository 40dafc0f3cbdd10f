package store

import (
	"context"
	"iter"
)

// Watch yields the changes of the tables after a position, whole
// transactions in commit order, until ctx ends. No table means all.
func (db *DB) Watch(ctx context.Context, from Start, tables ...string) iter.Seq2[Change, error] {
	panic("not built")
}

// Start is where a watch begins.
type Start struct {
	position int64
	now      bool
}

// From starts after a position; [Now] starts at the present.
func From(position int64) Start { return Start{position: position} }

// Now starts with the next transaction.
func Now() Start { return Start{now: true} }

// Change is one change of one row.
type Change struct {
	Tx    int64          `json:"tx"` // the transaction, which is the position
	Table string         `json:"table"`
	Op    string         `json:"op"` // insert, update or delete
	Rev   int64          `json:"rev"`
	Row   map[string]any `json:"row"`            // as it is now; for a delete, as it was last
	Last  bool           `json:"last,omitempty"` // the last change of its transaction
}
