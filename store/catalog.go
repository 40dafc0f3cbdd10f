package store

import (
	"context"
	"slices"
	"strings"
)

// Table describes a table or view.
type Table struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner"`
	Doc     string   `json:"doc"`
	Columns []Column `json:"columns"`
}

// Column describes a column.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // text, integer, real, boolean, time, json
	Doc  string `json:"doc"`
}

// Catalog is what the store knows of all tables and views. It is never
// changed once made.
type Catalog struct {
	Entries []Entry // in the order in which they were made
}

// Entry is a table or view of the catalog.
type Entry struct {
	Table
	View   string   // the SELECT of a view
	Past   Keeping  // how the past of the table is found
	Keys   []string // the primary key
	Secret map[string]bool
}

// Keeping says where the former versions of a table's rows are.
type Keeping byte

// The ways to keep the past.
const (
	PastHistory Keeping = iota // in its history table
	PastRows                   // its rows are their history: they are never changed
	PastView                   // it is a view: what it reads has a past
)

// Entry returns the entry of a name, nil if there is none.
func (c *Catalog) Entry(name string) *Entry {
	i := slices.IndexFunc(c.Entries, func(e Entry) bool { return strings.EqualFold(e.Name, name) })
	if i < 0 {
		return nil
	}
	return &c.Entries[i]
}

// Tables describes all tables and views.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	return db.catalog.Load().Describe(), nil
}

// newEntry joins what the migrations and the database say of a table.
func newEntry(owner string, p *parsedTable, r Relation) Entry {
	e := Entry{Table: Table{Name: r.Name, Owner: owner, Doc: p.doc}, View: p.view, Keys: r.Keys(), Secret: map[string]bool{}}
	switch {
	case p.view != "":
		e.Past = PastView
	case p.appendOnly || !r.Has("rev"):
		e.Past = PastRows
	}
	for _, c := range r.Columns {
		pc := p.columns[c.Name]
		if _, told := p.columns[c.Name]; !told && p.view == "" {
			switch c.Name {
			case "tx":
				pc.doc = "The transaction that wrote the row."
			case "rev":
				pc.doc = "How often the row was written."
			}
		}
		if pc.secret {
			e.Secret[c.Name] = true
		}
		e.Columns = append(e.Columns, Column{Name: c.Name, Type: columnType(c, pc, p.view != ""), Doc: pc.doc})
	}
	return e
}

// columnType is the type that people see.
func columnType(c RelationColumn, pc parsedColumn, view bool) string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(c.Type, w) })
	}
	switch {
	case pc.json || has("JSON"):
		return "json"
	case strings.HasSuffix(c.Name, "_at") && (has("INT") || view && c.Type == ""):
		return "time"
	case has("BOOL"):
		return "boolean"
	case has("INT"):
		return "integer"
	case has("REAL", "DOUB", "FLOA", "NUMERIC"):
		return "real"
	default:
		return "text"
	}
}
