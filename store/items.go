package store

import (
	"slices"
	"strings"
)

// item is one definition in the parentheses of a CREATE TABLE, or one column
// of a SELECT.
type item struct {
	name     string // empty for a constraint
	comment  string
	from, to int // its place in the text, without what follows its last token
}

// items returns the definitions of a CREATE TABLE.
func (s *statement) items() ([]item, bool) {
	inner := s.tokens[s.start:]
	open := slices.IndexFunc(inner, func(t token) bool { return t.is("(") })
	if open < 0 {
		return nil, false
	}
	all := listItems(inner[open+1:], func(t token, depth int) bool { return depth < 0 })
	for i := range all {
		all[i].name = columnName(all[i].code)
	}
	return plain(all), true
}

// columnName is the first name, unless a constraint stands there.
func columnName(tokens []token) string {
	if len(tokens) == 0 || !tokens[0].name() {
		return ""
	}
	if tokens[0].kind == tokenWord {
		switch strings.ToLower(tokens[0].text) {
		case "primary", "unique", "check", "foreign", "constraint":
			return ""
		}
	}
	return tokens[0].text
}

// viewItems returns the columns of the first SELECT.
func viewItems(tokens []token) []item {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 0 && t.is("select"):
			all := listItems(tokens[i+1:], func(t token, depth int) bool { return depth == 0 && t.is("from") })
			for i := range all {
				if c := all[i].code; len(c) > 0 && c[len(c)-1].name() {
					all[i].name = c[len(c)-1].text
				}
			}
			return plain(all)
		}
	}
	return nil
}

// listItem is an item with its tokens.
type listItem struct {
	item
	code     []token
	comments []token
}

func plain(all []listItem) []item {
	some := make([]item, len(all))
	for i, it := range all {
		it.comment = commentText(it.comments)
		some[i] = it.item
	}
	return some
}

// listItems splits a list at its commas until stop. A comment belongs to the
// item that began before it.
func listItems(tokens []token, stop func(t token, depth int) bool) []listItem {
	var all []listItem
	depth, fresh := 0, true
	for _, t := range tokens {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		}
		switch {
		case stop(t, depth):
			return all
		case t.kind == tokenComment:
			if len(all) > 0 {
				last := &all[len(all)-1]
				last.comments = append(last.comments, t)
			}
		case depth == 0 && t.is(","):
			fresh = true
		default:
			if fresh {
				all = append(all, listItem{item: item{from: t.from}})
				fresh = false
			}
			last := &all[len(all)-1]
			last.code, last.to = append(last.code, t), t.to
		}
	}
	return all
}

// versioned is the text of a CREATE TABLE with the columns that the store
// adds, unless the table has a column tx of its own.
func (s *statement) versioned() string {
	items, ok := s.items()
	if !ok || len(items) == 0 || slices.ContainsFunc(items, func(it item) bool { return it.name == "tx" }) {
		return s.text
	}
	const added = "tx BIGINT NOT NULL DEFAULT (volvox_tx()), rev BIGINT NOT NULL DEFAULT 1"
	if i := slices.IndexFunc(items, func(it item) bool { return it.name == "" }); i >= 0 {
		at := items[i].from
		return s.text[:at] + added + ", " + s.text[at:]
	}
	at := items[len(items)-1].to
	return s.text[:at] + ", " + added + s.text[at:]
}
