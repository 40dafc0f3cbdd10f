package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// testAskBounds has questions that would take all the time or memory of the
// machine within one call of a function, where no limit can stop them.
func testAskBounds(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	type answer struct {
		rows []string
		err  error
	}
	try := func(sql string) answer {
		done := make(chan answer, 1)
		go func() {
			var a answer
			_, a.rows, a.err = tryAsk(db, store.Question{SQL: sql, Timeout: 10 * time.Second})
			done <- a
		}()
		select {
		case a := <-done:
			return a
		case <-time.After(40 * time.Second):
			t.Fatalf("%s: not answered, not stopped", sql[:min(len(sql), 120)])
			panic("not reached")
		}
	}
	const long = "printf('%.4000000c', 'a')"
	for sql, want := range map[string]string{
		"SELECT instr(" + long + ", printf('%.1000000c', 'a') || 'b')":                                                                 "[0]",
		"SELECT length(replace(" + long + ", printf('%.1000000c', 'a') || 'b', 'c'))":                                                  "[4000000]",
		"SELECT " + long + " LIKE printf('%%%.40000c', 'a') || 'b'":                                                                    "E_BAD_SQL",
		"SELECT " + long + " GLOB '*a*a*a*a*a*a*ab'":                                                                                   "[0]",
		"SELECT length(trim(" + long + ", printf('%.1000000c', 'b') || 'a'))":                                                          "E_BAD_SQL",
		"SELECT unhex(printf('%.4000000c', '-'), printf('%.1000000c', '.') || '-')":                                                    "E_BAD_SQL",
		"SELECT replace(" + long + ", 'a', printf('%.4000000c', 'b'))":                                                                 "E_BAD_SQL",
		"SELECT json_patch('{}', '{}')":                                                                                                "E_BAD_SQL",
		"SELECT " + strings.Repeat(long+", ", 1000) + "1":                                                                              "E_BAD_SQL",
		"SELECT json_group_array(" + long + ") FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)": "E_BAD_SQL",

		"SELECT instr('Straße', 'e'), instr('a', 'b'), instr(NULL, 'b'), instr('a', ''), instr(12345, 34)":      "[6 0 <nil> 1 3]",
		"SELECT replace('aXbX', 'X', '--'), replace('a', '', 'b'), replace('a', 'a', NULL), replace(121, 2, 3)": "[a--b-- a <nil> 131]",
		"SELECT trim('xxaxx', 'x'), ltrim('xxaxx', 'x'), rtrim('xxaxx', 'x'), trim(' a '), trim('a', NULL)":     "[a axx xxa a <nil>]",
		"SELECT instr(x'000102', x'02'), hex(unhex('00ff'))":                                                    "[3 00FF]",
	} {
		a := try(sql)
		got := fmt.Sprint(a.rows)
		if a.err != nil {
			got = string(volvox.CodeOf(a.err))
		}
		if got != want {
			t.Errorf("%s: want %s, got %s %v", sql[:min(len(sql), 120)], want, got[:min(len(got), 200)], a.err)
		}
	}
}

// testNothingWritten has statements that could have changed something, and do
// not: they make no transaction.
func testNothingWritten(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1)")
	before, _ := lastTx(t, db)
	const again = "INSERT INTO goods (name, count) VALUES ('a', 2) ON CONFLICT (name) DO NOTHING"
	same(t, "rows", do(t, db, again), 0)
	must(t, db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(again)
		return err
	}))
	after, _ := lastTx(t, db)
	same(t, "transactions", after, before)
	must(t, db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := store.All[string](tx, "INSERT INTO goods (name) VALUES ('b') RETURNING name")
		if err == nil {
			_, err = tx.Exec(again)
		}
		return err
	}))
	after, _ = lastTx(t, db)
	same(t, "transactions", after, before+1)
	if _, err := db.Exec(context.Background(), "UPDATE goods SET count = 7, rev = rev + 1"); err == nil {
		t.Error("a row was changed without a history")
	}
}

// testWatchOthers watches tables that others' statements change only by the
// way, or not at all.
func testWatchOthers(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop, schema("homes", `
CREATE TABLE homes (name TEXT PRIMARY KEY);
CREATE TABLE people (name TEXT PRIMARY KEY, home TEXT REFERENCES homes (name) ON DELETE CASCADE, second TEXT REFERENCES homes (name) ON DELETE SET NULL);`))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	do(t, db, "INSERT INTO homes (name) VALUES ('x'), ('y')")
	do(t, db, "INSERT INTO people (name, home, second) VALUES ('a', 'x', 'y'), ('b', 'y', 'x')")
	people := db.Watch(ctx, store.Now(), "people")
	next := func(n int) (found []string) {
		for c, err := range people { // the same watch again: it goes on
			must(t, err)
			if found = append(found, c.Op+" "+fmt.Sprint(c.Row["name"])); len(found) == n {
				break
			}
		}
		return found
	}
	done := make(chan []string, 1)
	go func() { done <- next(2) }()
	for i := range 50 {
		do(t, db, "INSERT INTO goods (name) VALUES ($1)", fmt.Sprint(i))
	}
	do(t, db, "DELETE FROM homes WHERE name = 'x'")
	same(t, "cascade", <-done, []string{"delete a", "update b"})
	do(t, db, "INSERT INTO people (name) VALUES ('c')")
	do(t, db, "INSERT OR REPLACE INTO people (name) VALUES ('c')")
	same(t, "going on", next(1), []string{"insert c"})
	same(t, "going on", next(1), []string{"update c"})
	go func() { done <- next(1) }()
	must(t, db.Migrate(ctx, schema("later", "CREATE TABLE later (k TEXT PRIMARY KEY); INSERT INTO people (name) VALUES ('migrated');")))
	same(t, "a migration", <-done, []string{"insert migrated"})
}

// testNamesakes has views with columns that are named as the other view.
func testNamesakes(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop, schema("views", "CREATE VIEW one AS SELECT name AS two FROM goods; CREATE VIEW two AS SELECT two AS one FROM one;"))
	do(t, db, "INSERT INTO goods (name) VALUES ('a')")
	for _, sql := range []string{"SELECT two FROM one", "SELECT one FROM two"} {
		_, rows := ask(t, db, store.Question{SQL: sql})
		same(t, sql, rows, []string{"a"})
	}
}
