package store

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
)

// Mask stands in the place of a secret.
const Mask = "****"

// TimeText is how people see a time of the kernel: RFC 3339 with
// microseconds, which sorts as the times do.
func TimeText(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// Question is a statement and how to answer it.
type Question struct {
	SQL     string
	AsOf    time.Time     // zero: now
	MaxRows int           // more is E_TOO_MANY_ROWS; 0: 100,000
	Timeout time.Duration // 0: 30 s
}

// Ask answers one read-only statement of a person over the tables and views
// of the schemas that were given, their histories (NAME_history, with tx_end,
// the transaction that ended the version), and the descriptions
// tables(name, owner, doc) and columns("table", name, type, doc).
//
// Times are RFC 3339 text with microseconds, which compares as times do; now()
// is the moment asked for in the same form, now('-10m') is earlier, and
// seconds(from, to) is the time between two; secrets are '****'. Names with a
// schema before them, statements that change something (E_READ_ONLY) and more
// than one statement are refused; other mistakes are E_BAD_SQL.
//
// each is called for every row, with the same slices each time: nil, int64,
// float64, string, []byte and bool; its error ends the answer and is
// returned. The columns are also returned when there is no row.
func (db *DB) Ask(ctx context.Context, q Question, each func(columns []string, row []any) error) ([]string, error) {
	text, err := checkQuestion(q.SQL)
	if err != nil {
		return nil, err
	}
	if q.MaxRows == 0 {
		q.MaxRows = 100_000
	}
	var columns []string
	var theirs error
	look := Look{At: q.AsOf, Asked: true, Limit: q.Timeout}
	err = db.view(ctx, look, func(tx *Tx) error {
		rows, err := tx.conn.Query(text, nil)
		if err != nil {
			return err
		}
		defer rows.Close()
		for _, c := range rows.Columns() {
			columns = append(columns, c.Name)
		}
		theirs = db.answer(rows, columns, q.MaxRows, each)
		return theirs
	})
	if err == nil || theirs != nil && errors.As(theirs, new(*eachError)) {
		var e *eachError
		if errors.As(theirs, &e) {
			return columns, e.err
		}
		return columns, nil
	}
	return columns, db.badSQL(q.SQL, err)
}

// eachError is an error of the caller's own.
type eachError struct{ err error }

func (e *eachError) Error() string { return e.err.Error() }

func (db *DB) answer(rows Rows, columns []string, most int, each func([]string, []any) error) error {
	row := make([]any, len(columns))
	for n := 0; ; n++ {
		more, err := rows.Next()
		if err != nil || !more {
			return err
		}
		if n == most {
			return volvox.Errorf(volvox.TooManyRows, "the answer has more than %d rows", most).WithTry("add LIMIT %d to the statement", most)
		}
		for i := range row {
			row[i] = value(rows, i)
		}
		if err := each(columns, row); err != nil {
			return &eachError{err}
		}
	}
}

// checkQuestion refuses what the driver could not see, and returns the
// statement without what stands behind it.
func checkQuestion(sql string) (string, error) {
	all := code(tokenize(sql))
	for len(all) > 0 && all[len(all)-1].is(";") {
		all = all[:len(all)-1]
	}
	if len(all) == 0 {
		return "", volvox.Errorf(volvox.BadSQL, "there is no statement").WithTry(`volvox sql "SELECT * FROM tables"`)
	}
	for i, t := range all {
		switch {
		case t.is(";"):
			return "", volvox.Errorf(volvox.BadSQL, "the statement could not be run").Because("it is more than one statement").
				WithTry("ask one at a time")
		case t.kind == tokenParam:
			return "", volvox.Errorf(volvox.BadSQL, "the statement could not be run").Because("it has the placeholder %s", t.text)
		case i+1 < len(all) && all[i+1].is(".") && schemaName(t):
			return "", errQualified(t)
		}
	}
	switch first := strings.ToUpper(all[0].text); first {
	case "SELECT", "WITH", "VALUES", "(":
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "TRUNCATE", "MERGE", "GRANT", "REVOKE":
		return "", volvox.Errorf(volvox.ReadOnly, "the statement could not be run").Because("%s changes something, and SQL reads here", first).
			WithTry("change things through the commands: volvox --help")
	default:
		return "", volvox.Errorf(volvox.BadSQL, "the statement could not be run").Because("it begins with %s: nothing but SELECT is answered", first)
	}
	return sql[all[0].from:all[len(all)-1].to], nil
}

// CheckUnqualified refuses a statement with a name that has a schema before
// it; drivers use it where tables are shown through views of the same names.
func CheckUnqualified(sql string) error {
	all := code(tokenize(sql))
	for i, t := range all {
		if i+1 < len(all) && all[i+1].is(".") && schemaName(t) {
			return errQualified(t)
		}
	}
	return nil
}

func errQualified(t token) error {
	return volvox.Errorf(volvox.BadSQL, "the statement could not be run").
		Because("names have no schema before them here: %s.", t.text).WithTry("leave %s. out", t.text)
}

func schemaName(t token) bool {
	name := t.text
	if t.kind == tokenString {
		name = unquote(name)
	}
	return slices.ContainsFunc([]string{"main", "temp", "public"}, func(s string) bool { return strings.EqualFold(s, name) })
}

var (
	noTable  = regexp.MustCompile(`no such table: (\S+)`)
	noColumn = regexp.MustCompile(`no such column: (?:\S+\.)?(\S+)`)
)

// badSQL is an error of the driver for the person who asked.
func (db *DB) badSQL(sql string, err error) error {
	var known *volvox.Error
	if errors.As(err, &known) && known.Code != volvox.BadSQL && known.Code != volvox.Internal {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if known != nil && known.What == "the statement could not be run" {
		return known
	}
	bad := volvox.Errorf(volvox.BadSQL, "the statement could not be run").Because("%s", err)
	catalog := db.catalog.Load()
	if m := noTable.FindStringSubmatch(err.Error()); m != nil {
		return catalog.noTable(bad, m[1])
	}
	if m := noColumn.FindStringSubmatch(err.Error()); m != nil {
		return catalog.noColumn(bad, sql, m[1])
	}
	return bad
}

// noTable adds the table that was meant by a name.
func (c *Catalog) noTable(e *volvox.Error, name string) error {
	var names []string
	for _, t := range c.Describe() {
		names = append(names, t.Name)
	}
	near := volvox.Closest(name, names)
	if near == "" {
		return e.WithTry("volvox sql --tables")
	}
	return e.Because("%s; did you mean %s?", e.Why, near).WithTry("volvox sql --tables %s", near)
}

// noColumn adds the column that was meant by a name, one of the tables that
// stand in the statement, and where to read what columns they have.
func (c *Catalog) noColumn(e *volvox.Error, sql, name string) error {
	var columns []string
	words := Names(strings.ToLower(sql))
	for _, t := range c.Describe() {
		past := t.Name + "_history"
		if !slices.Contains(words, t.Name) && !slices.Contains(words, past) {
			continue
		}
		e = e.WithTry("volvox sql --tables %s", t.Name)
		for _, c := range t.Columns {
			if !strings.EqualFold(c.Name, name) {
				columns = append(columns, c.Name)
			}
		}
		if slices.Contains(words, past) {
			columns = append(columns, "tx_end")
		}
	}
	if near := volvox.Closest(name, columns); near != "" {
		e = e.Because("%s; did you mean %s?", e.Why, near)
	}
	if len(e.Try) == 0 {
		e = e.WithTry("volvox sql --tables")
	}
	return e
}

// Names lists the names that stand in SQL text.
func Names(sql string) []string {
	var all []string
	for _, t := range tokenize(sql) {
		if t.name() && !slices.Contains(all, t.text) {
			all = append(all, t.text)
		}
	}
	return all
}

// Describe lists all tables and views by name, with the two that describe
// them.
func (c *Catalog) Describe() []Table {
	all := []Table{
		{Name: "tables", Owner: "store", Doc: "What tables and views there are.", Columns: []Column{
			{"name", "text", "The name of the table."}, {"owner", "text", "The package that owns it."}, {"doc", "text", "What its rows are."}}},
		{Name: "columns", Owner: "store", Doc: "What columns the tables have.", Columns: []Column{
			{"table", "text", `The table; a keyword, so write "table".`}, {"name", "text", "The name of the column."},
			{"type", "text", "One of text, integer, real, boolean, time, json."}, {"doc", "text", "What it holds."}}},
	}
	for _, e := range c.Entries {
		all = append(all, e.Table)
	}
	slices.SortFunc(all, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	return all
}
