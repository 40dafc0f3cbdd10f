package sqlite

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// askFunctions are the functions that a person's statement may call. Those of
// SQLite that are not here tell of the machine, or can take all its time or
// memory in one call (json_patch, json_pretty).
var askFunctions = strings.Fields(`
	abs char coalesce concat concat_ws format glob hex if ifnull iif instr length like likely lower ltrim max min
	nullif octet_length printf quote replace round rtrim sign substr substring trim typeof unhex unicode unlikely upper
	random unistr unistr_quote
	acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
	radians sin sinh sqrt tan tanh trunc
	avg count group_concat string_agg sum total median percentile percentile_cont percentile_disc
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp now seconds
	json jsonb json_array jsonb_array json_array_length json_error_position json_extract jsonb_extract json_insert
	json_object jsonb_object json_quote json_remove json_replace json_set json_type json_valid
	json_group_array json_group_object -> ->>`)

// prepareAsk gives a connection the functions of the SQL door.
func (c *conn) prepareAsk() error {
	showTime := &sqlite.FunctionImpl{NArgs: 1, Deterministic: true, AllowIndirect: true,
		Scalar: func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			if args[0].Type() != sqlite.TypeInteger {
				return args[0], nil
			}
			return sqlite.TextValue(store.TimeText(args[0].Int64())), nil
		}}
	present := func() time.Time {
		if c.moment.IsZero() {
			return time.Now()
		}
		return c.moment
	}
	now := &sqlite.FunctionImpl{NArgs: 0, AllowIndirect: true,
		Scalar: func(sqlite.Context, []sqlite.Value) (sqlite.Value, error) {
			return sqlite.TextValue(store.TimeText(present().UnixMicro())), nil
		}}
	return errors.Join(c.bounded(), c.CreateFunction("volvox_time", showTime), c.CreateFunction("now", now),
		c.text("now", 1, func(args []sqlite.Value) (sqlite.Value, error) {
			t, err := volvox.ParseMoment(args[0].Text(), present())
			return sqlite.TextValue(store.TimeText(t.UnixMicro())), err
		}),
		c.text("seconds", 2, func(args []sqlite.Value) (sqlite.Value, error) { return seconds(args[0].Text(), args[1].Text()) }))
}

// seconds is the time from one moment to another.
func seconds(from, to string) (sqlite.Value, error) {
	a, err := time.Parse(time.RFC3339Nano, from)
	b, err2 := time.Parse(time.RFC3339Nano, to)
	if err := errors.Join(err, err2); err != nil {
		return sqlite.Value{}, fmt.Errorf("seconds takes two times: %w", err)
	}
	return sqlite.FloatValue(b.Sub(a).Seconds()), nil
}

// document fills the tables that describe all tables.
func (c *conn) document(catalog *store.Catalog) error {
	err := errors.Join(c.once("CREATE TEMP TABLE tables (name TEXT, owner TEXT, doc TEXT)"),
		c.once(`CREATE TEMP TABLE columns ("table" TEXT, name TEXT, type TEXT, doc TEXT)`))
	if err != nil {
		return err
	}
	for _, t := range catalog.Describe() {
		if err := c.do("INSERT INTO temp.tables VALUES ($1, $2, $3)", t.Name, t.Owner, t.Doc); err != nil {
			return err
		}
		for _, col := range t.Columns {
			if err := c.do("INSERT INTO temp.columns VALUES ($1, $2, $3, $4)", t.Name, col.Name, col.Type, col.Doc); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal says why a statement on a connection with views may not do
// something; nil if it may. What is in the main schema is read through the
// views alone.
func (c *conn) refusal(a sqlite.Action, kind int) *volvox.Error {
	asked := kind == askPresent || kind == askPast
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRecursive:
		return nil
	case sqlite.OpFunction:
		name := functionOf(a)
		if !asked || slices.Contains(askFunctions, name) || strings.HasPrefix(name, "volvox_") {
			return nil
		}
		return volvox.Errorf(volvox.BadSQL, "the function %s may not be called here", name)
	case sqlite.OpRead:
		if kind == showPresent || c.mayRead(a) {
			return nil
		}
		return volvox.Errorf(volvox.BadSQL, "no such table: %s", a.Table())
	case sqlite.OpInsert, sqlite.OpUpdate, sqlite.OpDelete:
		return volvox.Errorf(volvox.ReadOnly, "nothing can be changed here").Because("the statement changes %s", a.Table())
	}
	return volvox.Errorf(volvox.ReadOnly, "nothing but SELECT is answered here")
}

// functionOf is the name of the function that an action calls. The library
// keeps it to itself; were it to go away, every function would be refused.
func functionOf(a sqlite.Action) string {
	name := reflect.ValueOf(a).FieldByName("arg2")
	if !name.IsValid() {
		return ""
	}
	return strings.ToLower(name.String())
}

func (c *conn) mayRead(a sqlite.Action) bool {
	table := strings.ToLower(a.Table())
	switch {
	case strings.HasPrefix(table, "sqlite_") || strings.HasPrefix(table, "pragma_") || strings.HasPrefix(table, "dbstat"):
		return false
	case table == "volvox_moment":
		return a.Accessor() != ""
	case a.Database() == "temp":
		return true
	case a.Column() == "" && (a.Database() == "" || c.shown[table]):
		return true // no column is read: SQLite asks again without the view once it has merged it
	case table == "json_each" || table == "json_tree":
		return true
	}
	return c.shown[table] && a.Accessor() != ""
}

// describe finds the names and types of an answer's columns: two columns may
// have one name, and booleans are integers to SQLite.
func (c *conn) describe(text string) ([]store.Column, error) {
	if err := c.once("CREATE TEMP VIEW volvox_answer AS " + text); err != nil {
		return nil, err
	}
	columns, err := c.columnsOf("volvox_answer")
	if err := errors.Join(err, c.once("DROP VIEW temp.volvox_answer")); err != nil {
		return nil, err
	}
	var all []store.Column
	seen := map[string]bool{}
	for _, col := range columns {
		name := col.Name
		if i := strings.LastIndexByte(name, ':'); i > 0 && seen[name[:i]] {
			name = name[:i]
		}
		seen[name] = true
		one := store.Column{Name: name}
		if strings.Contains(col.Type, "BOOL") {
			one.Type = "boolean"
		}
		all = append(all, one)
	}
	return all, nil
}
