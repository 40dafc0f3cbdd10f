package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// Connections that show the past, or answer a person, have a TEMP view in
// front of every table, history and view of the catalog. SQLite looks for
// unqualified names there first, so the same statement reads what the view
// shows. The moment stands in a TEMP table of one row.
const moment = "(SELECT tx FROM temp.volvox_moment)"

// prepareLook makes a fresh connection ready for build.
func prepareLook(c *conn, kind int) error {
	unwritable := func(sqlite.Context, []sqlite.Value) (sqlite.Value, error) { return sqlite.Value{}, nil }
	// SQLite looks at the defaults of columns when it plans to use an index.
	if err := c.CreateFunction("volvox_tx", &sqlite.FunctionImpl{AllowIndirect: true, Scalar: unwritable}); err != nil {
		return err
	}
	if kind != showPresent {
		if err := c.once("CREATE TEMP TABLE volvox_moment (tx BIGINT NOT NULL)"); err != nil {
			return err
		}
	}
	asked := kind == askPresent || kind == askPast
	if c.asked = asked; asked {
		if err := c.prepareAsk(); err != nil {
			return err
		}
	}
	return c.SetAuthorizer(sqlite.AuthorizeFunc(func(a sqlite.Action) sqlite.AuthResult {
		if c.trusted {
			return sqlite.AuthResultOK
		}
		if why := c.refusal(a, kind); why != nil {
			c.refused = why
			return sqlite.AuthResultDeny
		}
		return sqlite.AuthResultOK
	}))
}

// build makes the views for a catalog, in place of those made before.
func (c *conn) build(catalog *store.Catalog, kind int) error {
	var old []string
	_, err := c.rows("SELECT type, name FROM temp.sqlite_schema WHERE type = 'view' OR name IN ('tables', 'columns')", nil, func(s *statement) error {
		old = append(old, "DROP "+s.ColumnText(0)+" temp."+quote(s.ColumnText(1)))
		return nil
	})
	if err != nil {
		return err
	}
	c.shown = map[string]bool{}
	b := builder{catalog: catalog, past: kind == showPast || kind == askPast, asked: kind == askPresent || kind == askPast}
	for _, text := range append(old, b.views()...) {
		if err := c.once(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	for _, e := range catalog.Entries {
		c.shown[strings.ToLower(e.Name)], c.shown[strings.ToLower(e.Name)+"_history"] = true, true
	}
	if b.asked {
		return c.document(catalog)
	}
	return nil
}

// builder writes the views.
type builder struct {
	catalog     *store.Catalog
	past, asked bool
}

func (b builder) views() []string {
	var all []string
	for _, e := range b.catalog.Entries {
		all = append(all, fmt.Sprintf("CREATE TEMP VIEW %s AS %s", quote(e.Name), b.shown(e)))
		if e.Past == store.PastHistory {
			h := e
			h.Columns = append(slices.Clone(e.Columns), store.Column{Name: "tx_end", Type: "integer"})
			all = append(all, fmt.Sprintf("CREATE TEMP VIEW %s AS %s", quote(e.Name+"_history"), b.present(h, b.history(h))))
		}
	}
	return all
}

// shown is the SELECT of the view in front of an entry.
func (b builder) shown(e store.Entry) string {
	if !b.asked {
		return b.source(e)
	}
	if e.Past != store.PastView {
		return b.present(e, b.source(e))
	}
	var with []string
	for _, d := range b.reads(e, nil, map[string]bool{e.Name: true}) {
		with = append(with, fmt.Sprintf("%s AS NOT MATERIALIZED (%s)", quote(d.Name), b.source(d)))
	}
	text := b.present(e, e.View)
	if len(with) == 0 {
		return text
	}
	return "WITH " + strings.Join(with, ", ") + " " + text
}

// reads lists the entries whose names a view's text holds, and theirs, each
// after what it reads itself. A name may also be that of a column, so two
// views may name each other.
func (b builder) reads(e store.Entry, found []store.Entry, seen map[string]bool) []store.Entry {
	for _, name := range store.Names(e.View) {
		d := b.catalog.Entry(name)
		if d == nil || seen[d.Name] {
			continue
		}
		seen[d.Name] = true
		if d.Past == store.PastView {
			found = b.reads(*d, found, seen)
		}
		found = append(found, *d)
	}
	return found
}

// source selects the rows of an entry as they were at the moment, with the
// kernel's own values; a person's never show a secret.
func (b builder) source(e store.Entry) string {
	if e.Past == store.PastView {
		return e.View
	}
	columns := b.columns(e)
	live := fmt.Sprintf("SELECT %s FROM main.%s", columns, quote(e.Name))
	switch {
	case !b.past:
		return live
	case e.Past == store.PastRows:
		return live + " WHERE tx <= " + moment
	}
	return fmt.Sprintf("%s WHERE tx <= %s UNION ALL SELECT %s FROM main.%s WHERE tx <= %s AND tx_end > %s",
		live, moment, columns, quote(e.Name+"_history"), moment, moment)
}

func (b builder) history(h store.Entry) string {
	text := fmt.Sprintf("SELECT %s FROM main.%s", b.columns(h), quote(h.Name+"_history"))
	if b.past {
		text += " WHERE tx_end <= " + moment
	}
	return text
}

func (b builder) columns(e store.Entry) string {
	var all []string
	for _, c := range e.Columns {
		name := quote(c.Name)
		if b.asked && e.Secret[c.Name] {
			name = fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN '%s' END AS %s", name, store.Mask, name)
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// present selects from a source with the values that people see.
func (b builder) present(e store.Entry, source string) string {
	if !b.asked {
		return source
	}
	var all []string
	for _, c := range e.Columns {
		name := quote(c.Name)
		if c.Type == "time" {
			name = fmt.Sprintf("volvox_time(%s) AS %s", name, name)
		} else if e.Past == store.PastView && e.Secret[c.Name] {
			name = fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN '%s' END AS %s", name, store.Mask, name)
		}
		all = append(all, name)
	}
	return fmt.Sprintf("SELECT %s FROM (%s)", strings.Join(all, ", "), source)
}

// setMoment finds the last transaction of a moment, in the snapshot that is
// open. The zero time is the present.
func (c *conn) setMoment(t time.Time, latest bool) error {
	c.moment = t
	if t.IsZero() {
		return nil
	}
	tx, err := c.number("SELECT max(tx) FROM main.transactions")
	if err == nil && !latest {
		tx, err = c.search(t, tx)
	}
	if err == nil {
		err = c.do("DELETE FROM temp.volvox_moment")
	}
	if err != nil {
		return err
	}
	return c.do("INSERT INTO temp.volvox_moment VALUES ($1)", tx)
}

// search finds the last transaction of a moment, among those up to last.
func (c *conn) search(t time.Time, last int64) (int64, error) {
	at := t.UnixMicro()
	created := func(tx int64) (int64, error) {
		return c.number("SELECT created_at FROM main.transactions WHERE tx = $1", tx)
	}
	first, err := c.number("SELECT coalesce(min(tx), 0) FROM main.transactions")
	if err != nil {
		return 0, err
	}
	if began, err := created(first); err != nil || began > at || first == 0 {
		if err == nil {
			err = store.ErrPruned(t)
		}
		return 0, err
	}
	for first < last {
		middle := (first + last + 1) / 2
		made, err := created(middle)
		if err != nil {
			return 0, err
		}
		if made <= at {
			first = middle
		} else {
			last = middle - 1
		}
	}
	return first, nil
}
