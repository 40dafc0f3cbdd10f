package store

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Schema is what one package puts into the kernel: numbered migrations, the
// files migrations/NNN_name.sql, applied in order, once. A package embeds them:
//
//	//go:embed migrations/*.sql
//	var migrations embed.FS
//
// A migration is SQL in the common dialect: CREATE TABLE, VIEW and INDEX,
// ALTER TABLE … ADD COLUMN or DROP COLUMN, DROP, and statements on rows. Its
// comments are the documentation that `volvox sql --tables` prints: the lines
// before CREATE TABLE or CREATE VIEW describe the table, the comment after a
// column (on its line or below it) the column. Words at the start of a
// comment change what the store does: "append-only:" before a table means no
// history (its rows are their history: they are inserted and in the end
// deleted, never updated), "secret:" after a column means that its value is
// masked in SQL, feed and history, "json:" that it holds a document.
//
// The store adds the columns tx (the transaction that wrote the row) and rev
// (1 for a new row, one more with each change), the history table and its
// triggers by itself; so an INSERT names its columns, and every table has a
// primary key. An UPDATE … RETURNING returns tx and rev as they were before.
// Names that end in _history or start with volvox_, and the names tables and
// columns, are the store's own. A table that has a column tx of its own gets nothing added.
// DROP TABLE also drops the table's past.
//
// A BIGINT column whose name ends in _at is a time, in microseconds since
// 1970 UTC.
type Schema struct {
	Owner      string // the package
	Migrations fs.FS  // with the directory migrations
}

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one file of a schema.
type migration struct {
	number     int64
	name, hash string
	statements []statement
}

// parsedOwner is a schema that was read.
type parsedOwner struct {
	owner      string
	migrations []migration
	tables     map[string]*parsedTable // as they are after the last migration
}

// parsedTable is what the text of the migrations says about a table or view.
type parsedTable struct {
	doc        string
	appendOnly bool
	view       string // the SELECT of a view
	columns    map[string]parsedColumn
}

type parsedColumn struct {
	doc          string
	secret, json bool
}

var fileName = regexp.MustCompile(`^(\d{3,})_([a-z0-9_]+)\.sql$`)

func parseSchema(s Schema) (parsedOwner, error) {
	p := parsedOwner{owner: s.Owner, tables: map[string]*parsedTable{}}
	files, err := fs.ReadDir(s.Migrations, "migrations")
	if err != nil {
		return p, fmt.Errorf("read the migrations of %s: %w", s.Owner, err)
	}
	for _, f := range files {
		m := fileName.FindStringSubmatch(f.Name())
		if m == nil {
			return p, fmt.Errorf("the migration %s of %s is not named NNN_name.sql", f.Name(), s.Owner)
		}
		text, err := fs.ReadFile(s.Migrations, "migrations/"+f.Name())
		if err != nil {
			return p, fmt.Errorf("read the migrations of %s: %w", s.Owner, err)
		}
		number, _ := strconv.ParseInt(m[1], 10, 64)
		sum := sha256.Sum256(text)
		one := migration{number: number, name: m[2], hash: hex.EncodeToString(sum[:]), statements: split(string(text))}
		for i := range one.statements {
			if err := p.learn(&one.statements[i]); err != nil {
				return p, fmt.Errorf("migration %s/%s: %w", s.Owner, f.Name(), err)
			}
		}
		p.migrations = append(p.migrations, one)
	}
	slices.SortFunc(p.migrations, func(a, b migration) int { return int(a.number - b.number) })
	for i := 1; i < len(p.migrations); i++ {
		if p.migrations[i].number == p.migrations[i-1].number {
			return p, fmt.Errorf("two migrations of %s have the number %d", s.Owner, p.migrations[i].number)
		}
	}
	return p, nil
}

// statement is one statement of a migration.
type statement struct {
	text   string
	tokens []token // places are those in text
	before string  // the comment above it
	after  string  // the comment behind it
	verb   string  // "create table", "create view", "alter table", "drop table", "drop view"; empty for others
	table  string
	start  int // the token after the table's name

	appendOnly bool // what is known of the table's keeping
}

// split cuts the text of a migration into statements.
func split(sql string) []statement {
	var all []statement
	var above, inner []token
	end := -1 // the end of the statement before
	flush := func(last token) {
		from := inner[0].from
		s := statement{text: sql[from:last.to], before: commentBlock(sql, above, from)}
		for _, t := range inner {
			t.from, t.to = t.from-from, t.to-from
			s.tokens = append(s.tokens, t)
		}
		s.classify()
		all, above, inner, end = append(all, s), nil, nil, last.to
	}
	for _, t := range tokenize(sql) {
		switch {
		case t.is(";") && len(inner) > 0:
			flush(inner[len(inner)-1])
			end = t.to
		case t.is(";"):
		case t.kind == tokenComment && len(inner) == 0 && len(all) > 0 && !strings.Contains(sql[end:t.from], "\n"):
			all[len(all)-1].after = commentText([]token{t})
		case t.kind == tokenComment && len(inner) == 0:
			above = append(above, t)
		default:
			inner = append(inner, t)
		}
	}
	if len(inner) > 0 {
		flush(inner[len(inner)-1])
	}
	return all
}

// commentBlock is the text of the comments that stand right above a place.
func commentBlock(sql string, comments []token, place int) string {
	first := len(comments)
	for first > 0 && strings.Count(sql[comments[first-1].to:place], "\n") <= 1 {
		first--
		place = comments[first].from
	}
	return commentText(comments[first:])
}

func commentText(comments []token) string {
	var lines []string
	for _, c := range comments {
		text := strings.TrimPrefix(c.text, "--")
		if t, ok := strings.CutPrefix(c.text, "/*"); ok {
			text = strings.TrimSuffix(t, "*/")
		}
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, " ")
}

// classify finds the verb and the table.
func (s *statement) classify() {
	words := []string{}
	for i, t := range s.tokens {
		if t.kind == tokenComment {
			continue
		}
		word := strings.ToLower(t.text)
		if t.kind == tokenWord && slices.Contains([]string{"if", "not", "exists"}, word) {
			continue
		}
		if len(words) == 2 {
			s.verb, s.table, s.start = strings.Join(words, " "), t.text, i+1
			break
		}
		words = append(words, word)
	}
	switch s.verb {
	case "create table", "create view", "alter table", "drop table", "drop view":
	default:
		s.verb, s.table, s.start = "", "", 0
	}
}

// learn takes over what a statement says about tables.
func (p *parsedOwner) learn(s *statement) error {
	first := code(s.tokens)
	if len(first) > 1 && first[0].is("create") && slices.ContainsFunc(first[1:min(3, len(first))], func(t token) bool { return t.is("trigger") }) {
		return fmt.Errorf("a migration makes no triggers: the store does")
	}
	name := strings.ToLower(s.table)
	if strings.HasSuffix(name, "_history") || strings.HasPrefix(name, "volvox_") || strings.HasPrefix(name, "sqlite_") || name == "tables" || name == "columns" {
		return fmt.Errorf("the name %s is the store's own", s.table)
	}
	switch s.verb {
	case "create table":
		items, _ := s.items()
		t := newParsedTable(s.before, items)
		p.tables[s.table], s.appendOnly = t, t.appendOnly
	case "create view":
		return p.learnView(s)
	case "alter table":
		return p.learnAlter(s)
	case "drop table", "drop view":
		delete(p.tables, s.table)
	}
	return nil
}

func newParsedTable(comment string, items []item) *parsedTable {
	t := &parsedTable{columns: map[string]parsedColumn{}}
	t.doc, t.appendOnly = strings.CutPrefix(comment, "append-only:")
	t.doc = strings.TrimSpace(t.doc)
	for _, it := range items {
		if it.name != "" {
			t.columns[it.name] = newParsedColumn(it.comment)
		}
	}
	return t
}

func newParsedColumn(comment string) parsedColumn {
	c := parsedColumn{doc: comment}
	for {
		if rest, ok := strings.CutPrefix(c.doc, "secret:"); ok {
			c.doc, c.secret = strings.TrimSpace(rest), true
		} else if rest, ok := strings.CutPrefix(c.doc, "json:"); ok {
			c.doc, c.json = strings.TrimSpace(rest), true
		} else {
			return c
		}
	}
}

func (p *parsedOwner) learnView(s *statement) error {
	i := slices.IndexFunc(s.tokens[s.start:], func(t token) bool { return t.kind != tokenComment })
	if i < 0 || !s.tokens[s.start+i].is("as") {
		return fmt.Errorf("view %s: write CREATE VIEW %s AS SELECT …", s.table, s.table)
	}
	as := s.tokens[s.start+i]
	items := viewItems(s.tokens[s.start+i+1:])
	t := newParsedTable(s.before, items)
	t.view = strings.TrimSpace(s.text[as.to:])
	p.tables[s.table] = t
	return nil
}

func (p *parsedOwner) learnAlter(s *statement) error {
	rest := s.tokens[s.start:]
	words := code(rest)
	t := p.tables[s.table]
	switch {
	case t == nil:
		return fmt.Errorf("ALTER TABLE %s: the package has no such table", s.table)
	case len(words) < 2 || !words[0].is("add") && !words[0].is("drop"):
		return fmt.Errorf("ALTER TABLE %s: a migration can only ADD or DROP columns", s.table)
	}
	s.appendOnly = t.appendOnly
	name := words[1]
	if name.is("column") && len(words) > 2 {
		name = words[2]
	}
	if words[0].is("drop") {
		delete(t.columns, name.text)
		return nil
	}
	var comments []token
	for _, c := range rest {
		if c.kind == tokenComment {
			comments = append(comments, c)
		}
	}
	t.columns[name.text] = newParsedColumn(strings.TrimSpace(commentText(comments) + " " + s.after))
	return nil
}
