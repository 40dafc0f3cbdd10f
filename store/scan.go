package store

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
)

// Row is one row of an answer, valid until the next one.
type Row struct {
	db   *DB
	rows Rows
}

// Columns returns the names of the columns.
func (r *Row) Columns() []string {
	columns := r.rows.Columns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// Scan copies the columns into what dest points to, in order, the reverse of
// what [Tx.Exec] does with arguments. NULL becomes nil in a pointer to a
// pointer or to an any, and the zero value in all else.
func (r *Row) Scan(dest ...any) error {
	columns := r.rows.Columns()
	if len(dest) != len(columns) {
		return fmt.Errorf("scan: %d columns into %d values", len(columns), len(dest))
	}
	for i, d := range dest {
		if err := scan(r.rows, i, d); err != nil {
			return fmt.Errorf("scan column %s: %w", columns[i].Name, err)
		}
	}
	return nil
}

func scan(rows Rows, i int, dest any) error {
	switch d := dest.(type) {
	case *string:
		*d = rows.Text(i)
	case *int64:
		*d = rows.Int(i)
	case *int:
		*d = int(rows.Int(i))
	case *bool:
		*d = rows.Int(i) != 0
	case *float64:
		*d = rows.Float(i)
	default:
		v := reflect.ValueOf(dest)
		if v.Kind() != reflect.Pointer || v.IsNil() {
			return fmt.Errorf("a %T is no pointer to scan into", dest)
		}
		return setterFor(v.Type().Elem())(rows, i, v.Elem())
	}
	return nil
}

// setter copies column i into v.
type setter func(rows Rows, i int, v reflect.Value) error

var (
	timeType    = reflect.TypeFor[time.Time]()
	rawType     = reflect.TypeFor[json.RawMessage]()
	textableArg = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func setterFor(t reflect.Type) setter {
	switch {
	case t == timeType:
		return setTime
	case t == rawType:
		return setBytes
	case reflect.PointerTo(t).Implements(textableArg):
		return setText
	}
	switch t.Kind() {
	case reflect.String:
		return func(rows Rows, i int, v reflect.Value) error { v.SetString(rows.Text(i)); return nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return setInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return setUint
	case reflect.Bool:
		return func(rows Rows, i int, v reflect.Value) error { v.SetBool(rows.Int(i) != 0); return nil }
	case reflect.Float32, reflect.Float64:
		return func(rows Rows, i int, v reflect.Value) error { v.SetFloat(rows.Float(i)); return nil }
	case reflect.Pointer:
		return setPointer(t)
	case reflect.Interface:
		return setAny
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return setBytes
		}
	case reflect.Struct, reflect.Map, reflect.Array:
	default:
		return func(Rows, int, reflect.Value) error { return fmt.Errorf("nothing can be scanned into a %s", t) }
	}
	return setJSON
}

func setTime(rows Rows, i int, v reflect.Value) error {
	t := v.Addr().Interface().(*time.Time)
	*t = time.Time{}
	if rows.Kind(i) != KindNull {
		*t = time.UnixMicro(rows.Int(i)).UTC()
	}
	return nil
}

func setInt(rows Rows, i int, v reflect.Value) error {
	n := rows.Int(i)
	if v.OverflowInt(n) {
		return fmt.Errorf("%d does not fit into a %s", n, v.Type())
	}
	v.SetInt(n)
	return nil
}

func setUint(rows Rows, i int, v reflect.Value) error {
	n := rows.Int(i)
	if n < 0 || v.OverflowUint(uint64(n)) {
		return fmt.Errorf("%d does not fit into a %s", n, v.Type())
	}
	v.SetUint(uint64(n))
	return nil
}

func setBytes(rows Rows, i int, v reflect.Value) error {
	if rows.Kind(i) == KindNull {
		v.SetZero()
		return nil
	}
	v.SetBytes(rows.Bytes(i))
	return nil
}

func setText(rows Rows, i int, v reflect.Value) error {
	if rows.Kind(i) == KindNull {
		v.SetZero()
		return nil
	}
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(rows.Bytes(i))
}

func setJSON(rows Rows, i int, v reflect.Value) error {
	v.SetZero()
	if rows.Kind(i) == KindNull {
		return nil
	}
	return json.Unmarshal(rows.Bytes(i), v.Addr().Interface())
}

func setPointer(t reflect.Type) setter {
	inner := setterFor(t.Elem())
	return func(rows Rows, i int, v reflect.Value) error {
		if rows.Kind(i) == KindNull {
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(t.Elem()))
		return inner(rows, i, v.Elem())
	}
}

func setAny(rows Rows, i int, v reflect.Value) error {
	x := value(rows, i)
	if x == nil {
		v.SetZero()
		return nil
	}
	if !reflect.TypeOf(x).AssignableTo(v.Type()) {
		return fmt.Errorf("nothing can be scanned into a %s", v.Type())
	}
	v.Set(reflect.ValueOf(x))
	return nil
}

// value returns column i as nil, int64, float64, string, []byte or bool.
func value(rows Rows, i int) any {
	switch rows.Kind(i) {
	case KindInt:
		return rows.Int(i)
	case KindFloat:
		return rows.Float(i)
	case KindText:
		return rows.Text(i)
	case KindBytes:
		return rows.Bytes(i)
	case KindBool:
		return rows.Int(i) != 0
	default:
		return nil
	}
}

// plan is how rows become values of one type.
type plan struct {
	single setter // for types that take one column
	fields map[string]planField
}

type planField struct {
	index []int
	set   setter
}

func (db *DB) planOf(t reflect.Type) *plan {
	if p, ok := db.plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{}
	if t.Kind() == reflect.Struct && t != timeType && !reflect.PointerTo(t).Implements(textableArg) {
		p.fields = map[string]planField{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" || (f.Anonymous && name == "") {
				continue
			}
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			p.fields[name] = planField{f.Index, setterFor(f.Type)}
		}
	} else {
		p.single = setterFor(t)
	}
	db.plans.Store(t, p)
	return p
}

// bind finds the fields of the columns.
func (p *plan) bind(t reflect.Type, columns []Column) ([]planField, error) {
	if p.single != nil {
		if len(columns) != 1 {
			return nil, fmt.Errorf("%d columns into one %s", len(columns), t)
		}
		return nil, nil
	}
	fields := make([]planField, len(columns))
	for i, c := range columns {
		f, ok := p.fields[c.Name]
		if !ok {
			return nil, fmt.Errorf("no field of %s has the json tag %q", t, c.Name)
		}
		fields[i] = f
	}
	return fields, nil
}

func (p *plan) scan(rows Rows, fields []planField, columns []Column, v reflect.Value) error {
	if p.single != nil {
		return p.single(rows, 0, v)
	}
	for i := range fields {
		if err := fields[i].set(rows, i, v.FieldByIndex(fields[i].index)); err != nil {
			return fmt.Errorf("column %s: %w", columns[i].Name, err)
		}
	}
	return nil
}

// collect reads up to max rows as values of T; 0 means all.
func collect[T any](tx *Tx, stmt string, args []any, max int) ([]T, error) {
	rows, err := tx.rows(stmt, args)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	t := reflect.TypeFor[T]()
	p := tx.db.planOf(t)
	columns := rows.Columns()
	fields, err := p.bind(t, columns)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	var all []T
	for max == 0 || len(all) < max {
		more, err := rows.Next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		var one T
		if err := p.scan(rows, fields, columns, reflect.ValueOf(&one).Elem()); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// All returns the rows of a statement as values of T: a struct whose fields'
// json tags name columns (columns without a field are an error, fields
// without a column stay zero), or a single column's type. No row is an empty
// answer, not an error.
func All[T any](tx *Tx, stmt string, args ...any) ([]T, error) {
	return collect[T](tx, stmt, args, 0)
}

// One is [All] for exactly one row; none is an error of kind not found, more
// than one is an internal error.
func One[T any](tx *Tx, stmt string, args ...any) (T, error) {
	var none T
	all, err := collect[T](tx, stmt, args, 2)
	switch {
	case err != nil:
		return none, err
	case len(all) == 0:
		return none, volvox.Errorf(volvox.NotFound, "there is no such row")
	case len(all) > 1:
		return none, volvox.Errorf(volvox.Internal, "there is more than one such row").Because("the statement is %s", stmt)
	}
	return all[0], nil
}
