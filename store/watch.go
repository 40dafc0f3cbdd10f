package store

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
)

// watchWindow is how many transactions a watch reads at once.
const watchWindow = 4096

// Start is where a watch begins.
type Start struct {
	position int64
	now      bool
}

// From starts after a position, the Tx of the last change that was seen; 0 is
// before the first. [Now] starts at the present.
func From(position int64) Start { return Start{position: position} }

// Now starts with the next transaction.
func Now() Start { return Start{now: true} }

// Change is one change of one row.
type Change struct {
	Tx    int64          `json:"tx"` // the transaction, which is the position
	Table string         `json:"table"`
	Op    string         `json:"op"` // insert, update or delete
	Rev   int64          `json:"rev"`
	Row   map[string]any `json:"row"`            // as the transaction left it; for a delete, as it was last
	Last  bool           `json:"last,omitempty"` // the last change of its transaction
}

// Watch yields the changes of the tables after a position, whole
// transactions in commit order, until ctx ends. No table means all. A row that
// one transaction changed twice is one change; one that it made and deleted
// is none. Rows are as people see them: secrets masked, times as text. Deletes
// from append-only tables are not seen.
//
// It starts when it is called, not when it is first read: a change committed
// after Watch(ctx, Now()) has returned is yielded. It holds nothing while it
// yields, so a slow reader hinders nobody. Reading it again goes on behind the
// last whole transaction that was yielded. An error ends it: a position that
// is no longer kept is E_PRUNED, one not reached yet E_FUTURE.
func (db *DB) Watch(ctx context.Context, from Start, tables ...string) iter.Seq2[Change, error] {
	w := &watch{db: db, position: from.position}
	last, _, _ := db.driver.Committed()
	if from.now {
		w.position = last
	}
	err := refuseNested(ctx)
	if err == nil {
		w.entries, err = db.watched(tables)
	}
	for _, e := range w.entries {
		w.tables = append(w.tables, e.Name)
	}
	if err == nil && w.position > last {
		err = volvox.Errorf(volvox.Future, "the position %d has not been reached", w.position).Because("the last one is %d", last)
	}
	return func(yield func(Change, error) bool) {
		if err != nil {
			yield(Change{}, err)
			return
		}
		w.run(ctx, yield)
	}
}

// watched finds the tables to watch.
func (db *DB) watched(tables []string) ([]Entry, error) {
	catalog := db.catalog.Load()
	var some []Entry
	for _, e := range catalog.Entries {
		if e.Past != PastView && (len(tables) == 0 || slices.Contains(tables, e.Name)) {
			some = append(some, e)
		}
	}
	for _, name := range tables {
		if !slices.ContainsFunc(some, func(e Entry) bool { return e.Name == name }) {
			return nil, volvox.Errorf(volvox.NotFound, "there is no table %s to watch", name)
		}
	}
	return some, nil
}

// watch is a running watch.
type watch struct {
	db       *DB
	entries  []Entry
	tables   []string // their names
	position int64    // what was yielded, up to here
}

func (w *watch) run(ctx context.Context, yield func(Change, error) bool) {
	waited := int64(-1)
	for {
		last, changed, next := w.db.driver.Committed(w.tables...)
		if changed <= w.position && last != waited { // the same again: the kernel was closed, which read finds out
			w.position, waited = max(w.position, last), last
			select {
			case <-ctx.Done():
				return
			case <-next:
			}
			continue
		}
		waited = -1
		until := min(last, w.position+watchWindow)
		changes, err := w.read(ctx, until)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			yield(Change{}, err)
			return
		}
		for _, c := range changes {
			more := yield(c, nil)
			if c.Last {
				w.position = c.Tx
			}
			if !more || ctx.Err() != nil {
				return
			}
		}
		w.position = until
	}
}

// version is a row of a table while it was, from tx to end; end is 0 when it
// still is.
type version struct {
	entry   int
	key     string
	tx, end int64
	change  Change
}

// read finds the changes of the transactions after the position.
func (w *watch) read(ctx context.Context, until int64) ([]Change, error) {
	var all []version
	err := w.db.driver.View(ctx, Look{}, func(c Conn) error {
		all = nil
		if err := w.checkKept(c); err != nil {
			return err
		}
		for i, e := range w.entries {
			found, err := e.versions(c, w.position, until)
			if err != nil {
				return fmt.Errorf("read the changes of %s: %w", e.Name, err)
			}
			for _, v := range found {
				v.entry = i
				all = append(all, v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return merge(all, w.position, until), nil
}

// checkKept refuses a position whose transactions are not all there.
func (w *watch) checkKept(c Conn) error {
	rows, err := c.Query("SELECT coalesce(min(tx), 1) FROM transactions", nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	if _, err := rows.Next(); err != nil {
		return err
	}
	if first := rows.Int(0); w.position < first-1 {
		return volvox.Errorf(volvox.Pruned, "the changes after the position %d are not kept", w.position).
			Because("the first that is kept is %d", first).WithTry("read the tables, then watch from now")
	}
	return nil
}

// versions returns those that began or ended in the transactions of
// (after, until].
func (e *Entry) versions(c Conn, after, until int64) ([]version, error) {
	var names []string
	for _, col := range e.Columns {
		names = append(names, quote(col.Name))
	}
	columns := strings.Join(names, ", ")
	text := fmt.Sprintf("SELECT %s, 0 FROM %s WHERE tx > $1 AND tx <= $2", columns, quote(e.Name))
	all, err := e.collect(c, text, after, until)
	if err != nil || e.Past != PastHistory {
		return all, err
	}
	text = fmt.Sprintf("SELECT %s, tx_end FROM %s WHERE tx_end > $1 AND (tx_end <= $2 OR tx > $1 AND tx <= $2)", columns, quote(e.Name+"_history"))
	ended, err := e.collect(c, text, after, until)
	return append(all, ended...), err
}

func (e *Entry) collect(c Conn, text string, after, until int64) ([]version, error) {
	rows, err := c.Query(text, []any{after, until})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []version
	for {
		more, err := rows.Next()
		if err != nil || !more {
			return all, err
		}
		v := version{change: Change{Table: e.Name, Rev: 1, Row: make(map[string]any, len(e.Columns))}, end: rows.Int(len(e.Columns))}
		for i, col := range e.Columns {
			switch col.Name {
			case "tx":
				v.tx = rows.Int(i)
			case "rev":
				v.change.Rev = rows.Int(i)
			}
			if slices.Contains(e.Keys, col.Name) {
				v.key += fmt.Sprintf("%q,", rows.Text(i))
			}
			v.change.Row[col.Name] = e.seen(rows, i)
		}
		all = append(all, v)
	}
}

// seen is a value as people see it.
func (e *Entry) seen(rows Rows, i int) any {
	kind := rows.Kind(i)
	switch {
	case kind == KindNull:
		return nil
	case e.Secret[e.Columns[i].Name]:
		return Mask
	case e.Columns[i].Type == "time" && kind == KindInt:
		return TimeText(rows.Int(i))
	case e.Columns[i].Type == "boolean":
		return rows.Int(i) != 0
	}
	return value(rows, i)
}

// merge makes changes of versions: one that began and one that ended in the
// same transaction under the same key are an update.
func merge(all []version, after, until int64) []Change {
	type place struct {
		tx    int64
		entry int
		key   string
	}
	ended := map[place]version{}
	for _, v := range all {
		if v.end > after && v.end <= until {
			ended[place{v.end, v.entry, v.key}] = v
		}
	}
	var found []version
	for _, v := range all {
		if v.tx <= after || v.tx > until {
			continue
		}
		p := place{v.tx, v.entry, v.key}
		v.change.Tx, v.change.Op = v.tx, "insert"
		if _, ok := ended[p]; ok {
			v.change.Op = "update"
			delete(ended, p)
		}
		found = append(found, v)
	}
	for p, v := range ended {
		v.change.Tx, v.change.Op, v.tx = p.tx, "delete", p.tx
		found = append(found, v)
	}
	slices.SortFunc(found, func(a, b version) int {
		if d := a.tx - b.tx; d != 0 {
			return int(d)
		}
		if d := a.entry - b.entry; d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
	changes := make([]Change, len(found))
	for i, v := range found {
		v.change.Last = i+1 == len(found) || found[i+1].tx != v.tx
		changes[i] = v.change
	}
	return changes
}
