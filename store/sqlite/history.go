package sqlite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/volvox-os/volvox/store"
)

// Inspect is store.Driver's.
func (d *driver) Inspect(c store.Conn) ([]store.Relation, error) {
	s := c.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return nil, err
	}
	var all []store.Relation
	_, err := s.conn.rows(`SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '%\_history' ESCAPE '\' ORDER BY rowid`, nil,
		func(st *statement) error {
			r := store.Relation{Name: st.ColumnText(0)}
			var err error
			r.Columns, err = s.conn.columnsOf(r.Name)
			all = append(all, r)
			return err
		})
	if err != nil {
		return nil, s.fail(err)
	}
	return all, nil
}

func (c *conn) columnsOf(table string) ([]store.RelationColumn, error) {
	var all []store.RelationColumn
	_, err := c.rows(`SELECT name, upper(type), "notnull", dflt_value, pk FROM pragma_table_xinfo($1) WHERE hidden <> 1`, []any{table},
		func(st *statement) error {
			all = append(all, store.RelationColumn{Name: st.ColumnText(0), Type: st.ColumnText(1),
				NotNull: st.ColumnBool(2), Default: st.ColumnText(3), Key: st.ColumnInt(4)})
			return nil
		})
	return all, err
}

// Keep is store.Driver's. The history of a table has the same columns and
// tx_end, the transaction that ended the version, in whose order it lies. Its
// one index is the twin of the primary key; other indexes have no twin.
func (d *driver) Keep(c store.Conn, r store.Relation, appendOnly bool) error {
	s := c.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if !r.Has("rev") {
		return nil
	}
	if err := s.conn.do(fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (tx)", quote(r.Name+"_tx"), quote(r.Name))); err != nil {
		return s.fail(err)
	}
	make := s.conn.keepHistory
	if appendOnly {
		make = s.conn.keepRows
	}
	if err := make(r); err != nil {
		return s.fail(err)
	}
	return nil
}

// Release is store.Driver's.
func (d *driver) Release(c store.Conn, table string) error {
	s := c.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.conn.dropTriggers(table); err != nil {
		return s.fail(err)
	}
	return nil
}

func (c *conn) dropTriggers(table string) error {
	for _, suffix := range []string{"_updated", "_deleted", "_moved"} {
		if err := c.once("DROP TRIGGER IF EXISTS " + quote(table+suffix)); err != nil {
			return err
		}
	}
	return nil
}

// keepRows is for tables whose rows are their history.
func (c *conn) keepRows(r store.Relation) error {
	if err := c.dropTriggers(r.Name); err != nil {
		return err
	}
	table := quote(r.Name)
	err := c.once(fmt.Sprintf("CREATE TRIGGER %s BEFORE UPDATE ON %s BEGIN SELECT RAISE(ABORT, 'the table is append-only: its rows are not updated'); END",
		quote(r.Name+"_updated"), table))
	if err != nil {
		return err
	}
	return c.once(fmt.Sprintf("CREATE TRIGGER %s AFTER DELETE ON %s BEGIN SELECT volvox_tx(); END", quote(r.Name+"_deleted"), table))
}

func (c *conn) keepHistory(r store.Relation) error {
	table, history := quote(r.Name), quote(r.Name+"_history")
	have, err := c.columnsOf(r.Name + "_history")
	if err != nil {
		return err
	}
	var statements []string
	if len(have) == 0 {
		var columns []string
		for _, col := range r.Columns {
			columns = append(columns, quote(col.Name)+" "+col.Type)
		}
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE %s (%s, tx_end BIGINT NOT NULL, PRIMARY KEY (tx_end, %s)) WITHOUT ROWID",
				history, strings.Join(columns, ", "), names(r.Keys(), "")),
			fmt.Sprintf("CREATE INDEX %s ON %s (%s, tx_end)", quote(r.Name+"_history_key"), history, names(r.Keys(), "")))
	} else {
		for _, col := range r.Columns {
			if slices.ContainsFunc(have, func(h store.RelationColumn) bool { return h.Name == col.Name }) {
				continue
			}
			add := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", history, quote(col.Name), col.Type)
			if col.Default != "" {
				add += " DEFAULT (" + col.Default + ")"
			}
			statements = append(statements, add)
		}
	}
	var all []string
	for _, col := range r.Columns {
		all = append(all, col.Name)
	}
	var same []string
	for _, k := range r.Keys() {
		same = append(same, quote(k)+" = NEW."+quote(k))
	}
	statements = append(statements,
		fmt.Sprintf(`CREATE TRIGGER %s AFTER UPDATE ON %s WHEN NEW.rev = OLD.rev BEGIN
			INSERT INTO %s (%s, tx_end) SELECT %s, volvox_tx() WHERE OLD.tx <> volvox_tx();
			UPDATE %s SET tx = volvox_tx(), rev = OLD.rev + 1 WHERE %s; END`,
			quote(r.Name+"_updated"), table, history, names(all, ""), names(all, "OLD."), table, strings.Join(same, " AND ")),
		fmt.Sprintf(`CREATE TRIGGER %s AFTER DELETE ON %s WHEN OLD.tx <> volvox_tx() BEGIN
			INSERT INTO %s (%s, tx_end) VALUES (%s, volvox_tx()); END`,
			quote(r.Name+"_deleted"), table, history, names(all, ""), names(all, "OLD.")))
	if err := c.dropTriggers(r.Name); err != nil {
		return err
	}
	for _, text := range statements {
		if err := c.once(text); err != nil {
			return err
		}
	}
	return nil
}

var createTable = regexp.MustCompile(`(?i)^\s*CREATE\s+TABLE\b`)

var integerKey = regexp.MustCompile(`(?i)\bINTEGER\s+PRIMARY\s+KEY\b`)

// withoutRowid makes a table one tree, ordered by its primary key, unless
// SQLite is to choose the key.
func withoutRowid(text string) (string, error) {
	if !createTable.MatchString(text) || integerKey.MatchString(text) {
		return text, nil
	}
	return text + " WITHOUT ROWID", nil
}

// quote makes a name of SQL of s.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// names lists names with a prefix before each.
func names(all []string, prefix string) string {
	quoted := make([]string, len(all))
	for i, n := range all {
		quoted[i] = prefix + quote(n)
	}
	return strings.Join(quoted, ", ")
}
