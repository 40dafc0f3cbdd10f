package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

func testValues(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	type named string
	type label struct {
		Color string `json:"color"`
	}
	type good struct {
		Name   string          `json:"name"`
		Count  int             `json:"count"`
		Price  *float64        `json:"price"`
		Ready  bool            `json:"ready"`
		Key    named           `json:"key"`
		Labels []label         `json:"labels"`
		Raw    json.RawMessage `json:"raw"`
		SoldAt time.Time       `json:"sold_at"`
	}
	price := 2.5
	at := time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC)
	full := good{"bolt", 7, &price, true, "k", []label{{"red"}}, json.RawMessage(`{"a":1}`), at}
	empty := good{Name: "nut"}
	for _, g := range []good{full, empty} {
		do(t, db, "INSERT INTO goods (name, count, price, ready, key, labels, raw, sold_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			g.Name, g.Count, g.Price, g.Ready, g.Key, g.Labels, g.Raw, g.SoldAt)
	}
	const columns = "SELECT name, count, price, ready, key, labels, raw, sold_at FROM goods ORDER BY name"
	got := all[good](t, db, columns)
	a, _ := json.Marshal(got)
	b, _ := json.Marshal([]good{full, empty})
	same(t, "rows", string(a), string(b))
	same(t, "micros", all[int64](t, db, "SELECT sold_at FROM goods WHERE name = $1", "bolt"), []int64{at.UnixMicro()})
	same(t, "null time", all[*time.Time](t, db, "SELECT sold_at FROM goods WHERE name = $1", "nut"), []*time.Time{nil})
	same(t, "order of placeholders", all[string](t, db, "SELECT name FROM goods WHERE count = $2 AND name = $1", "bolt", 7), []string{"bolt"})
	same(t, "a placeholder twice", all[string](t, db, "SELECT name FROM goods WHERE name = $1 OR name = $1", "bolt"), []string{"bolt"})
	do(t, db, "UPDATE goods SET key = $1, raw = $2 WHERE name = $3", netip.MustParseAddr("100.64.0.1"), []byte{0, 255}, "nut")
	same(t, "text of its own", all[netip.Addr](t, db, "SELECT key FROM goods WHERE name = 'nut'"), []netip.Addr{netip.MustParseAddr("100.64.0.1")})
	same(t, "bytes", all[[]byte](t, db, "SELECT raw FROM goods WHERE name = 'nut'"), [][]byte{{0, 255}})
	if _, err := db.Exec(context.Background(), "UPDATE goods SET count = $1", make(chan int)); err == nil {
		t.Fatal("a channel was stored")
	}
	if _, err := db.Exec(context.Background(), "UPDATE goods SET count = $1", uint64(1)<<63); err == nil {
		t.Fatal("too large an integer was stored")
	}
}

func testScan(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1), ('b', 300)")
	err := db.View(context.Background(), func(tx *store.Tx) error {
		type part struct {
			Name string `json:"name"`
			More int    `json:"more"`
		}
		if _, err := store.All[part](tx, "SELECT name, count FROM goods"); err == nil || !strings.Contains(err.Error(), `"count"`) {
			t.Errorf("a column without a field: %v", err)
		}
		if _, err := store.All[uint8](tx, "SELECT count FROM goods"); err == nil {
			t.Error("300 was put into a byte")
		}
		if _, err := store.All[int](tx, "SELECT name, count FROM goods"); err == nil {
			t.Error("two columns were put into one int")
		}
		_, err := store.One[string](tx, "SELECT name FROM goods WHERE name = 'c'")
		wish(t, err, volvox.NotFound)
		_, err = store.One[string](tx, "SELECT name FROM goods")
		wish(t, err, volvox.Internal)
		n := 0
		for row, err := range tx.Query("SELECT name, count FROM goods ORDER BY name") {
			must(t, err)
			var name string
			var count *int
			must(t, row.Scan(&name, &count))
			// The same statement again while the first is being read.
			inner, err := store.All[part](tx, "SELECT name FROM goods WHERE name > $1", name)
			must(t, err)
			n += *count + 1000*len(inner)
			if err := row.Scan(&name); err == nil {
				t.Error("two columns were scanned into one value")
			}
		}
		same(t, "sum", n, 1301)
		for range tx.Query("SELECT name FROM goods") {
			break
		}
		return nil
	})
	must(t, err)
}

func testTransactions(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	before, _ := lastTx(t, db)
	ctx := store.WithStep(store.WithName(volvox.WithActor(context.Background(), "user:ann"), "stock up"), "w1", 3)
	must(t, db.Update(ctx, func(tx *store.Tx) error {
		for i := range 3 {
			if _, err := tx.Exec("INSERT INTO goods (name) VALUES ($1)", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		_, err := tx.Exec("UPDATE goods SET count = 2 WHERE name <> '0'")
		return err
	}))
	must(t, db.Update(ctx, func(tx *store.Tx) error { _, err := store.All[string](tx, "SELECT name FROM goods"); return err }))
	do(t, db, "UPDATE goods SET count = 3 WHERE name = 'none'")
	if err := db.Update(ctx, func(tx *store.Tx) error { tx.Exec("DELETE FROM goods"); return errUndo }); err != errUndo {
		t.Fatalf("the closure's error: %v", err)
	}
	do(t, db, "UPDATE goods SET count = 9 WHERE name = '0'")
	type row struct {
		Tx       int64   `json:"tx"`
		Actor    string  `json:"actor"`
		Name     string  `json:"name"`
		Workflow *string `json:"workflow"`
		Step     *int    `json:"step"`
	}
	got := all[row](t, db, "SELECT tx, actor, name, workflow, step FROM transactions WHERE tx > $1 ORDER BY tx", before)
	if len(got) != 2 {
		t.Fatalf("two closures wrote something, got %+v", got)
	}
	same(t, "first", fmt.Sprintln(got[0].Tx, got[0].Actor, got[0].Name, *got[0].Workflow, *got[0].Step), fmt.Sprintln(before+1, "user:ann stock up w1 3"))
	same(t, "second", fmt.Sprintln(got[1].Tx, got[1].Actor, got[1].Name, got[1].Workflow == nil), fmt.Sprintln(before+2, "system", "", true))
	same(t, "versions", all[string](t, db, "SELECT name || ' ' || count || ' ' || (tx - $1) || ' ' || rev FROM goods ORDER BY name", before),
		[]string{"0 9 2 2", "1 2 1 2", "2 2 1 2"})
	times := all[int64](t, db, "SELECT created_at FROM transactions ORDER BY tx")
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			t.Fatal("times do not rise")
		}
	}
}

func testRefusals(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx := context.Background()
	do(t, db, "INSERT INTO goods (name) VALUES ('a')")
	_, err := db.Exec(ctx, "INSERT INTO goods (name) VALUES ('a')")
	wish(t, err, volvox.Exists)
	nested := func(tx *store.Tx) error {
		wish(t, db.Update(tx.Context(), func(*store.Tx) error { return nil }), volvox.NestedTransaction)
		wish(t, db.View(tx.Context(), func(*store.Tx) error { return nil }), volvox.NestedTransaction)
		wish(t, db.AsOf(time.Now()).View(tx.Context(), func(*store.Tx) error { return nil }), volvox.NestedTransaction)
		_, err := db.Exec(tx.Context(), "DELETE FROM goods")
		wish(t, err, volvox.NestedTransaction)
		_, err = db.Ask(tx.Context(), store.Question{SQL: "SELECT 1"}, nil)
		wish(t, err, volvox.NestedTransaction)
		wish(t, db.Migrate(tx.Context(), shop), volvox.NestedTransaction)
		return nil
	}
	must(t, db.Update(ctx, nested))
	must(t, db.View(ctx, nested))
	var kept *store.Tx
	must(t, db.Update(ctx, func(tx *store.Tx) error { kept = tx; return nil }))
	if _, err := kept.Exec("DELETE FROM goods"); err == nil {
		t.Fatal("a transaction was used after its end")
	}
	for _, bad := range []string{
		"COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT x", "CREATE TABLE x (a TEXT PRIMARY KEY)", "DROP TABLE goods",
		"INSERT INTO transactions (tx, created_at, actor, name) VALUES (999, 1, '', '')", "DELETE FROM goods_history",
		"DELETE FROM goods; DELETE FROM sales", "INSERT INTO nothing (a) VALUES (1)", "INSERT INTO goods (name) VALUES ($1)", "nonsense",
	} {
		if _, err := db.Exec(ctx, bad); err == nil {
			t.Fatalf("%s was done", bad)
		}
		if err := db.Update(ctx, func(tx *store.Tx) error {
			if _, err := tx.Exec("UPDATE goods SET count = 5"); err != nil {
				return err
			}
			tx.Exec(bad) // the error is not looked at: the closure is undone all the same
			return nil
		}); err == nil {
			t.Fatalf("%s was done in a closure", bad)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	err = db.Update(ended, func(tx *store.Tx) error {
		if _, err := tx.Exec("UPDATE goods SET count = 6"); err != nil {
			return err
		}
		cancel()
		_, err := tx.Exec("UPDATE goods SET count = 7")
		return err
	})
	wish(t, err, volvox.Cancelled)
	wish(t, db.Update(ended, func(tx *store.Tx) error { t.Error("ran"); return nil }), volvox.Cancelled)
	same(t, "untouched", all[int](t, db, "SELECT count FROM goods"), []int{0})
	err = db.Update(ctx, func(tx *store.Tx) error { tx.Exec("DELETE FROM goods"); panic("a bug") })
	wish(t, err, volvox.Internal)
	if text := err.Error(); !strings.Contains(text, "a bug") || !strings.Contains(text, "testRefusals") {
		t.Fatalf("the panic is not told: %s", text)
	}
	same(t, "untouched", all[int](t, db, "SELECT count FROM goods"), []int{0})
}

func testViews(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx := context.Background()
	do(t, db, "INSERT INTO goods (name) VALUES ('a')")
	must(t, db.View(ctx, func(tx *store.Tx) error {
		before, err := store.One[int](tx, "SELECT count(*) FROM goods")
		must(t, err)
		do(t, db, "INSERT INTO goods (name) VALUES ('b')")
		after, err := store.One[int](tx, "SELECT count(*) FROM goods")
		must(t, err)
		same(t, "one snapshot", after, before)
		return nil
	}))
	for _, bad := range []string{"DELETE FROM goods", "INSERT INTO goods (name) VALUES ('c')", "UPDATE goods SET count = 1"} {
		wish(t, db.View(ctx, func(tx *store.Tx) error { _, err := tx.Exec(bad); return err }), volvox.ReadOnly)
	}
	if err := db.View(ctx, func(tx *store.Tx) error { return errUndo }); err != errUndo {
		t.Fatal(err)
	}
}

func testSlowViews(t *testing.T, open Open) {
	db := begin(t, open, Limits{View: time.Second / 4}, shop)
	ctx := context.Background()
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
	slow := func(tx *store.Tx) error { _, err := store.All[int](tx, endless); return err }
	wish(t, db.View(ctx, slow), volvox.SlowView)
	wish(t, db.View(ctx, func(tx *store.Tx) error { // slow outside of a statement
		<-time.After(time.Second)
		_, err := store.All[int](tx, "SELECT 1")
		return err
	}), volvox.SlowView)
	short, cancel := context.WithTimeout(ctx, time.Second/100)
	defer cancel()
	wish(t, db.View(short, slow), volvox.Timeout)
	same(t, "still reads", all[int](t, db, "SELECT count(*) FROM goods"), []int{0})
}

func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	db := reopen(t, open, dir, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name) VALUES ('a')")
	tx, at := lastTx(t, db)
	must(t, db.Close())
	must(t, db.Close())
	_, err := db.Exec(context.Background(), "DELETE FROM goods")
	wish(t, err, volvox.Unavailable)
	wish(t, db.View(context.Background(), func(*store.Tx) error { return nil }), volvox.Unavailable)
	db = reopen(t, open, dir, Limits{}, shop)
	do(t, db, "UPDATE goods SET count = 1")
	next, later := lastTx(t, db)
	if next != tx+1 || !later.After(at) {
		t.Fatalf("transaction %d at %s after %d at %s", next, later, tx, at)
	}
	same(t, "rows", all[int](t, db, "SELECT count FROM goods"), []int{1})
	same(t, "past", all[int](t, db.AsOf(at), "SELECT count FROM goods"), []int{0})
}

func testOneAtATime(t *testing.T, open Open) {
	dir := t.TempDir()
	db := reopen(t, open, dir, Limits{})
	_, err := open(dir, Limits{})
	wish(t, err, volvox.AlreadyUp)
	must(t, db.Close())
	reopen(t, open, dir, Limits{})
}
