package store

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTokens(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT a.b":            "SELECT|a|.|b",
		"x'41' 'it''s' 1.5e3":   "x|'41'|'it''s'|1|.|5e3",
		`"a""b".[c d] ` + "`e`": `a"b|.|c d|e`,
		"a--b\nc/*d*/e/*f":      "a|--b|c|/*d*/|e|/*f",
		"$1 ?2 :x @y":           "$1|?2|:x|@y",
		"'open":                 "'open",
		"é\U0001F600 _$1":       "é\U0001F600|_$1",
		"[":                     "",
		`"`:                     "",
		"/":                     "/",
	} {
		var got []string
		for _, token := range tokenize(sql) {
			got = append(got, token.text)
			if token.from >= token.to || token.to > len(sql) {
				t.Errorf("%q: a token from %d to %d", sql, token.from, token.to)
			}
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", sql, got, want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add(`SELECT "a" FROM 'b' -- c`)
	f.Fuzz(func(t *testing.T, sql string) {
		end := 0
		for _, token := range tokenize(sql) {
			if token.from < end || token.to <= token.from || token.to > len(sql) {
				t.Fatalf("%q: a token from %d to %d after %d", sql, token.from, token.to, end)
			}
			end = token.to
		}
		split(sql)
	})
}

func TestVersioned(t *testing.T) {
	const added = "tx BIGINT NOT NULL DEFAULT (volvox_tx()), rev BIGINT NOT NULL DEFAULT 1"
	for sql, want := range map[string]string{
		"CREATE TABLE a (k TEXT PRIMARY KEY -- key\n)":                      "CREATE TABLE a (k TEXT PRIMARY KEY, " + added + " -- key\n)",
		"CREATE TABLE a (k TEXT, PRIMARY KEY (k))":                          "CREATE TABLE a (k TEXT, " + added + ", PRIMARY KEY (k))",
		"CREATE TABLE a (k TEXT CHECK (k IN ('a', 'b')), UNIQUE (k, k))":    "CREATE TABLE a (k TEXT CHECK (k IN ('a', 'b')), " + added + ", UNIQUE (k, k))",
		"CREATE TABLE a (tx BIGINT PRIMARY KEY)":                            "CREATE TABLE a (tx BIGINT PRIMARY KEY)",
		`CREATE TABLE IF NOT EXISTS a ("primary" TEXT PRIMARY KEY, n TEXT)`: `CREATE TABLE IF NOT EXISTS a ("primary" TEXT PRIMARY KEY, n TEXT, ` + added + `)`,
	} {
		s := split(sql)
		if len(s) != 1 || s[0].versioned() != want {
			t.Errorf("%s:\n got %s\nwant %s", sql, s[0].versioned(), want)
		}
	}
}

func TestComments(t *testing.T) {
	p, err := parseSchema(Schema{Owner: "x", Migrations: fstest.MapFS{
		"migrations/002_b.sql": {Data: []byte("ALTER TABLE a ADD c TEXT; -- json: Later.\n-- Of the view.\nCREATE VIEW v AS SELECT k, -- The key.\n 'x' AS y /* A constant. */ FROM a;")},
		"migrations/001_a.sql": {Data: []byte("-- Head of the file.\n\n/* The\n   table. */\nCREATE TABLE a (\n k TEXT PRIMARY KEY, -- The key,\n -- on two lines.\n d TEXT -- secret: json: Hidden.\n);")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, v := p.tables["a"], p.tables["v"]
	got := fmt.Sprintf("%s|%v|%v|%v|%s|%v|%v", a.doc, a.columns["k"], a.columns["d"], a.columns["c"], v.doc, v.columns["k"], v.columns["y"])
	const want = "The table.|{The key, on two lines. false false}|{Hidden. true true}|{Later. false true}|Of the view.|{The key. false false}|{A constant. false false}"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
