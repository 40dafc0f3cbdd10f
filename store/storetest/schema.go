package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// schema makes a schema of texts, the first of which is number 1.
func schema(owner string, texts ...string) store.Schema {
	files := fstest.MapFS{}
	for i, text := range texts {
		files[fmt.Sprintf("migrations/%03d_m.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return store.Schema{Owner: owner, Migrations: files}
}

func testMigrations(t *testing.T, open Open) {
	ctx := context.Background()
	db := begin(t, open, Limits{})
	const one, two = "CREATE TABLE a (k TEXT PRIMARY KEY);", "CREATE TABLE b (k TEXT PRIMARY KEY); INSERT INTO b (k) VALUES ('x');"
	must(t, db.Migrate(ctx, schema("s", one)))
	first, _ := lastTx(t, db)
	must(t, db.Migrate(ctx, schema("s", one)))
	if again, _ := lastTx(t, db); again != first {
		t.Fatal("the second Migrate did something")
	}
	must(t, db.Migrate(ctx, schema("s", one, two)))
	same(t, "rows", all[string](t, db, "SELECT k FROM b"), []string{"x"})
	same(t, "named", all[string](t, db, "SELECT name FROM transactions ORDER BY tx DESC LIMIT 1"), []string{"migrate s 2_m"})
	wish(t, db.Migrate(ctx, schema("s", one)), volvox.NewerSchema)
	if err := db.Migrate(ctx, schema("s", one+" ", two)); err == nil || !strings.Contains(err.Error(), "was another one") {
		t.Fatalf("a changed migration: %v", err)
	}
	for name, bad := range map[string]string{
		"half":       "CREATE TABLE c (k TEXT PRIMARY KEY); CREATE TABLE c (k TEXT PRIMARY KEY);",
		"no key":     "CREATE TABLE c (k TEXT);",
		"trigger":    "CREATE TABLE c (k TEXT PRIMARY KEY); CREATE TRIGGER x AFTER INSERT ON c BEGIN SELECT 1; END;",
		"rename":     "ALTER TABLE a RENAME TO c;",
		"pragma":     "PRAGMA user_version = 1;",
		"commit":     "CREATE TABLE c (k TEXT PRIMARY KEY); COMMIT;",
		"not theirs": "ALTER TABLE goods ADD COLUMN x TEXT;",
		"reserved":   "CREATE TABLE c_history (k TEXT PRIMARY KEY);",
	} {
		if err := db.Migrate(ctx, schema("bad", bad)); err == nil {
			t.Fatalf("%s: a bad migration was done", name)
		}
	}
	same(t, "nothing half done", all[int](t, db, "SELECT count(*) FROM migrations WHERE owner = 'bad'"), []int{0})
	must(t, db.Migrate(ctx, schema("bad", "CREATE TABLE c (k TEXT PRIMARY KEY);")))
	must(t, db.Migrate(ctx, schema("bad", "CREATE TABLE c (k TEXT PRIMARY KEY);", "DROP TABLE c;", "CREATE TABLE c (k TEXT PRIMARY KEY, n BIGINT);")))
	do(t, db, "INSERT INTO c (k, n) VALUES ('a', 1)")
	do(t, db, "UPDATE c SET n = 2")
	same(t, "history", all[int](t, db, "SELECT n FROM c_history"), []int{1})
	if err := db.Migrate(ctx, store.Schema{Owner: "odd", Migrations: fstest.MapFS{"migrations/one.sql": {}}}); err == nil {
		t.Fatal("a file without a number was taken")
	}
}

func testDocumentation(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	tables, err := db.Tables(context.Background())
	must(t, err)
	var lines []string
	for _, table := range tables {
		if table.Owner == "shop" {
			lines = append(lines, table.Name+": "+table.Doc)
			for _, c := range table.Columns {
				lines = append(lines, fmt.Sprintf("  %s %s: %s", c.Name, c.Type, c.Doc))
			}
		}
	}
	const added = "\n  tx integer: The transaction that wrote the row.\n  rev integer: How often the row was written.\n"
	same(t, "documentation", strings.Join(lines, "\n"), `goods: The goods of a shop, each once.
  name text: What it is called.
  count integer: How many there are.
  price real: 
  ready boolean: Whether it can be sold.
  key text: Opens the drawer.
  labels json: What is written on it.
  raw text: 
  sold_at time: When it was last sold, if ever.`+added+`sales: What was sold.
  number integer: 
  name text: What.`+added+`stock: What is there.
  name text: Of what.
  amount integer: How much.
  before_at time: `)
	_, rows := ask(t, db, store.Question{SQL: `SELECT t.name, c.name, c.type FROM tables t JOIN columns c ON c."table" = t.name WHERE owner = 'shop' AND c.type = 'json'`})
	same(t, "asked", rows, []string{"goods labels json"})
}

func testAddColumn(t *testing.T, open Open) {
	ctx := context.Background()
	db := begin(t, open, Limits{})
	const one = `-- Things.
CREATE TABLE things (k TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0, old TEXT);`
	must(t, db.Migrate(ctx, schema("s", one)))
	do(t, db, "INSERT INTO things (k, n, old) VALUES ('a', 1, 'o')")
	do(t, db, "UPDATE things SET n = 2")
	_, before := lastTx(t, db)
	do(t, db, "INSERT INTO things (k, n) VALUES ('b', 3)")
	const two = `ALTER TABLE things ADD COLUMN color TEXT NOT NULL DEFAULT 'gray'; -- What it looks like.
ALTER TABLE things ADD COLUMN pin TEXT; -- secret: Of the lock.
ALTER TABLE things DROP COLUMN old;
UPDATE things SET n = n + 10, pin = '1234' WHERE k = 'a';`
	must(t, db.Migrate(ctx, schema("s", one, two)))
	same(t, "now", all[string](t, db, "SELECT k || n || color || rev FROM things ORDER BY k"), []string{"a12gray3", "b3gray1"})
	same(t, "then", all[string](t, db.AsOf(before), "SELECT k || n || color || rev FROM things"), []string{"a2gray2"})
	do(t, db, "UPDATE things SET color = 'red' WHERE k = 'b'")
	same(t, "history", all[string](t, db, "SELECT k || n || color FROM things_history ORDER BY k, tx_end"), []string{"a1gray", "a2gray", "b3gray"})
	_, rows := ask(t, db, store.Question{SQL: "SELECT pin, color FROM things ORDER BY k"})
	same(t, "asked", rows, []string{"**** gray", "<nil> red"})
	tables, _ := db.Tables(ctx)
	for _, table := range tables {
		if table.Name == "things" {
			same(t, "documentation", fmt.Sprint(table.Columns), "[{k text } {n integer } {tx integer The transaction that wrote the row.} "+
				"{rev integer How often the row was written.} {color text What it looks like.} {pin text Of the lock.}]")
		}
	}
}

func testHistory(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx := context.Background()
	do(t, db, "INSERT INTO goods (name, count, key) VALUES ('a', 1, 's')")
	do(t, db, "UPDATE goods SET count = 2")
	must(t, db.Update(ctx, func(tx *store.Tx) error {
		for i := range 3 {
			if _, err := tx.Exec("UPDATE goods SET count = $1", i+3); err != nil {
				return err
			}
		}
		_, err := tx.Exec("INSERT INTO goods (name) VALUES ('gone')")
		if err == nil {
			_, err = tx.Exec("DELETE FROM goods WHERE name = 'gone'")
		}
		return err
	}))
	do(t, db, "UPDATE goods SET name = 'b'")
	do(t, db, "DELETE FROM goods")
	do(t, db, "INSERT INTO goods (name, count) VALUES ('b', 9)")
	same(t, "history", all[string](t, db, "SELECT name || count || ' ' || rev || ' ' || (tx_end - tx) FROM goods_history ORDER BY tx_end"),
		[]string{"a1 1 1", "a2 2 1", "a5 5 1", "b5 6 1"})
	same(t, "live", all[string](t, db, "SELECT name || count || ' ' || rev FROM goods"), []string{"b9 1"})
}

func testAppendOnly(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO sales (number, name) VALUES (1, 'a')")
	_, then := lastTx(t, db)
	do(t, db, "INSERT INTO sales (number, name) VALUES (2, 'b')")
	if _, err := db.Exec(context.Background(), "UPDATE sales SET name = 'c'"); err == nil {
		t.Fatal("an append-only table was updated")
	}
	same(t, "then", all[string](t, db.AsOf(then), "SELECT name FROM sales"), []string{"a"})
	before, _ := lastTx(t, db)
	do(t, db, "DELETE FROM sales WHERE number = 1")
	if after, _ := lastTx(t, db); after != before+1 {
		t.Fatal("a delete was no transaction")
	}
}

func testReplace(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1)")
	_, one := lastTx(t, db)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 2) ON CONFLICT (name) DO UPDATE SET count = excluded.count")
	_, two := lastTx(t, db)
	do(t, db, "INSERT OR REPLACE INTO goods (name, count) VALUES ('a', 3)")
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 4) ON CONFLICT DO NOTHING")
	same(t, "now", all[int](t, db, "SELECT count FROM goods"), []int{3})
	same(t, "two", all[int](t, db.AsOf(two), "SELECT count FROM goods"), []int{2})
	same(t, "one", all[int](t, db.AsOf(one), "SELECT count FROM goods"), []int{1})
	same(t, "history", all[int](t, db, "SELECT count FROM goods_history ORDER BY tx_end"), []int{1, 2})
}

// testReferences has rows change because rows that they refer to do.
func testReferences(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, schema("homes", `
CREATE TABLE homes (k TEXT PRIMARY KEY);
CREATE TABLE people (k TEXT PRIMARY KEY, home TEXT REFERENCES homes (k) ON DELETE CASCADE, second TEXT REFERENCES homes (k) ON DELETE SET NULL);`))
	ctx := context.Background()
	do(t, db, "INSERT INTO homes (k) VALUES ('x'), ('y')")
	do(t, db, "INSERT INTO people (k, home, second) VALUES ('a', 'x', 'y'), ('b', 'y', 'x')")
	_, then := lastTx(t, db)
	_, err := db.Exec(ctx, "INSERT INTO people (k, home) VALUES ('c', 'none')")
	if err == nil {
		t.Fatal("a reference to nothing was stored")
	}
	do(t, db, "DELETE FROM homes WHERE k = 'x'")
	const query = "SELECT k || home || coalesce(second, '-') || rev FROM people ORDER BY k"
	same(t, "now", all[string](t, db, query), []string{"by-2"})
	same(t, "then", all[string](t, db.AsOf(then), query), []string{"axy1", "byx1"})
}
