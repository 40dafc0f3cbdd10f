package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

func testPast(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1), ('b', 1)")
	_, one := lastTx(t, db)
	do(t, db, "UPDATE goods SET count = 2 WHERE name = 'a'")
	_, two := lastTx(t, db)
	do(t, db, "DELETE FROM goods WHERE name = 'b'")
	_, three := lastTx(t, db)
	const query = "SELECT name || count FROM goods ORDER BY name"
	same(t, "before", all[string](t, db.AsOf(one.Add(-time.Microsecond)), query), []string(nil))
	same(t, "one", all[string](t, db.AsOf(one), query), []string{"a1", "b1"})
	same(t, "between", all[string](t, db.AsOf(two.Add(-time.Microsecond)), query), []string{"a1", "b1"})
	same(t, "two", all[string](t, db.AsOf(two), query), []string{"a2", "b1"})
	same(t, "three", all[string](t, db.AsOf(three), query), []string{"a2"})
	same(t, "now", all[string](t, db.AsOf(time.Now()), query), []string{"a2"})
	same(t, "a view", all[string](t, db.AsOf(one), "SELECT name || amount FROM stock ORDER BY name"), []string{"a1", "b1"})
	same(t, "a join", all[int](t, db.AsOf(two), "SELECT count(*) FROM goods g JOIN stock s ON s.name = g.name WHERE g.count = 2"), []int{1})
	same(t, "histories", all[string](t, db.AsOf(two), "SELECT name FROM goods_history"), []string{"a"})
	same(t, "transactions", all[time.Time](t, db.AsOf(two), "SELECT max(created_at) FROM transactions"), []time.Time{two})
	type whole struct {
		Name   string    `json:"name"`
		Count  int       `json:"count"`
		Price  *float64  `json:"price"`
		Ready  bool      `json:"ready"`
		Key    *string   `json:"key"`
		Labels *string   `json:"labels"`
		Raw    []byte    `json:"raw"`
		SoldAt time.Time `json:"sold_at"`
		Tx     int64     `json:"tx"`
		Rev    int       `json:"rev"`
	}
	same(t, "the same columns", len(all[whole](t, db.AsOf(one), "SELECT * FROM goods")), 2)
}

func testPastRefusals(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1)")
	ctx := context.Background()
	_, now := lastTx(t, db)
	try := func(at time.Time, stmt string) error {
		return db.AsOf(at).View(ctx, func(tx *store.Tx) error {
			for _, err := range tx.Query(stmt) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	wish(t, try(time.Now().Add(time.Hour), "SELECT 1"), volvox.Future)
	wish(t, try(now.Add(-time.Hour), "SELECT 1"), volvox.Pruned)
	wish(t, try(time.Time{}, "SELECT 1"), volvox.Pruned)
	for _, bad := range []string{"DELETE FROM goods", "INSERT INTO goods (name) VALUES ('b')", "UPDATE goods SET count = 3",
		"CREATE TABLE x (a TEXT)", "DROP TABLE goods"} {
		wish(t, try(now, bad), volvox.ReadOnly)
	}
	for _, bad := range []string{"SELECT * FROM main.goods", `SELECT * FROM "main".goods`, "SELECT * FROM main.goods_history",
		"WITH goods AS (SELECT * FROM main.goods) SELECT * FROM goods", "SELECT goods.name FROM temp.goods", "SELECT * FROM sqlite_schema"} {
		wish(t, try(now, bad), volvox.BadSQL)
	}
	same(t, "still there", all[int](t, db, "SELECT count FROM goods"), []int{1})
}

func testPastViews(t *testing.T, open Open) {
	ctx := context.Background()
	db := begin(t, open, Limits{}, shop, schema("reports",
		`-- Rich.
CREATE VIEW rich AS WITH big AS (SELECT name, amount FROM stock WHERE amount > 1) SELECT name, amount * 2 AS double FROM big;`))
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 2)")
	_, one := lastTx(t, db)
	do(t, db, "UPDATE goods SET count = 5")
	const query = "SELECT double FROM rich"
	same(t, "now", all[int](t, db, query), []int{10})
	same(t, "then", all[int](t, db.AsOf(one), query), []int{4})
	for at, want := range map[time.Time]string{{}: "10", one: "4"} {
		_, rows := ask(t, db, store.Question{SQL: query, AsOf: at})
		same(t, "asked", rows, []string{want})
	}
	must(t, db.Migrate(ctx, schema("reports2", "CREATE TABLE fresh (k TEXT PRIMARY KEY);")))
	same(t, "a later table", all[string](t, db.AsOf(one), "SELECT k FROM fresh"), []string(nil))
}

// testPastStands reads the same moment again and again while others write: a
// moment that has passed never changes.
func testPastStands(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 4)
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				if i == 3000 { // so that reading stays quick wherever this runs
					<-ctx.Done()
				}
				if _, err := db.Exec(ctx, "INSERT INTO goods (name, count) VALUES ($1, $2)", fmt.Sprint(w, "-", i), i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 60 {
		at := time.Now()
		first := all[int](t, db.AsOf(at), "SELECT count(*) FROM goods")
		do(t, db, "INSERT INTO sales (number, name) VALUES ($1, 'x')", at.UnixNano())
		same(t, "the same moment", all[int](t, db.AsOf(at), "SELECT count(*) FROM goods"), first)
	}
	cancel()
	for range 4 {
		wish(t, <-done, volvox.Cancelled)
	}
}
