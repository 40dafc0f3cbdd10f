package store

import "strings"

// token is one token of SQL text.
type token struct {
	kind tokenKind
	text string // as written; for names without their quotes
	from int    // its place in the text
	to   int
}

type tokenKind byte

const (
	tokenWord    tokenKind = iota // a name or keyword
	tokenQuoted                   // a quoted name
	tokenString                   // '…'
	tokenNumber                   //
	tokenMark                     // one character of punctuation
	tokenParam                    // $1, ?, :name, @name
	tokenComment                  // -- … or /* … */
)

// is says whether the token is this keyword or mark.
func (t token) is(word string) bool {
	return (t.kind == tokenWord || t.kind == tokenMark) && strings.EqualFold(t.text, word)
}

// name says whether the token may name something.
func (t token) name() bool { return t.kind == tokenWord || t.kind == tokenQuoted }

// byteOrderMark is white space to SQLite where a token begins, and part of a
// name within one.
const byteOrderMark = "\ufeff"

// tokenize splits SQL text; white space is left out. It never fails: what is
// unterminated reaches to the end.
func tokenize(sql string) []token {
	var all []token
	for i := 0; i < len(sql); {
		c := sql[i]
		if strings.IndexByte(" \t\r\n\f", c) >= 0 {
			i++
			continue
		}
		if strings.HasPrefix(sql[i:], byteOrderMark) {
			i += len(byteOrderMark)
			continue
		}
		t := token{from: i}
		switch {
		case strings.HasPrefix(sql[i:], "--"):
			t.kind, t.to = tokenComment, i+until(sql[i:], "\n", 2)
		case strings.HasPrefix(sql[i:], "/*"):
			t.kind, t.to = tokenComment, i+past(sql[i:], "*/", 2)
		case c == '\'':
			t.kind, t.to = tokenString, i+quoted(sql[i:], '\'')
		case c == '"' || c == '`':
			t.kind, t.to = tokenQuoted, i+quoted(sql[i:], c)
		case c == '[':
			t.kind, t.to = tokenQuoted, i+past(sql[i:], "]", 1)
		case c >= '0' && c <= '9':
			t.kind, t.to = tokenNumber, i+wordLength(sql[i:])
		case wordByte(c) && c != '$':
			t.kind, t.to = tokenWord, i+wordLength(sql[i:])
		case c == '$' || c == '?' || c == ':' || c == '@' || c == '#':
			t.kind, t.to = tokenParam, i+1+wordLength(sql[i+1:])
		default:
			t.kind, t.to = tokenMark, i+1
		}
		t.text = sql[t.from:t.to]
		if t.kind == tokenQuoted {
			t.text = unquote(t.text)
		}
		all = append(all, t)
		i = t.to
	}
	return all
}

// wordByte says whether SQL counts c among the letters of a name.
func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func wordLength(s string) int {
	for i := range len(s) {
		if !wordByte(s[i]) {
			return i
		}
	}
	return len(s)
}

func until(s, end string, from int) int {
	if i := strings.Index(s[from:], end); i >= 0 {
		return from + i
	}
	return len(s)
}

func past(s, end string, from int) int { return min(until(s, end, from)+len(end), len(s)) }

func quoted(s string, q byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] != q {
			continue
		}
		if i+1 < len(s) && s[i+1] == q {
			i++
			continue
		}
		return i + 1
	}
	return len(s)
}

func unquote(s string) string {
	q := s[:1]
	inner := strings.TrimSuffix(s[1:], q)
	if q == "[" {
		return strings.TrimSuffix(inner, "]")
	}
	return strings.ReplaceAll(inner, q+q, q)
}

// quote makes a name of SQL of s.
func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// code leaves the comments out.
func code(all []token) []token {
	var some []token
	for _, t := range all {
		if t.kind != tokenComment {
			some = append(some, t)
		}
	}
	return some
}
