package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

func testAsk(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	at := time.Date(2026, 1, 31, 12, 0, 0, 5000, time.UTC)
	do(t, db, "INSERT INTO goods (name, count, ready, labels, sold_at) VALUES ('a', 1, $1, $2, $3), ('b', 2, $4, NULL, NULL)",
		true, map[string]int{"x": 1}, at, false)
	for _, c := range []struct{ sql, columns, rows string }{
		{"SELECT name, sold_at FROM goods ORDER BY name", "name sold_at", "a 2026-01-31T12:00:00.000005Z|b <nil>"},
		{"SELECT name, ready FROM goods WHERE ready", "name ready", "a true"},
		{"select ready from goods where not ready;", "ready", "false"},
		{"SELECT name FROM goods WHERE sold_at > '2026-01-31' AND sold_at < now() -- so", "name", "a"},
		{"SELECT seconds('2026-01-31T12:00:00Z', '2026-01-31T12:01:30.5Z') AS s", "s", "90.5"},
		{"SELECT CAST(seconds(now('-10m'), now('-5m')) AS INTEGER) AS s", "s", "300"},
		{"SELECT seconds(NULL, now()) IS NULL AS s", "s", "1"},
		{"SELECT before_at FROM stock WHERE before_at IS NOT NULL", "before_at", "2026-01-31T12:00:00.000000Z"},
		{"SELECT 1 AS a, 2 AS a", "a a", "1 2"},
		{"SELECT a.name, b.name FROM goods a JOIN goods b ON a.name < b.name", "name name", "a b"},
		{"SELECT name FROM goods WHERE name = 'none'", "name", ""},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT sum(i) AS s FROM n", "s", "10"},
		{"WITH goods AS (SELECT 'mine' AS name) SELECT name FROM goods", "name", "mine"},
		{"SELECT labels ->> 'x' AS x, json_extract(labels, '$.x') AS y FROM goods WHERE labels IS NOT NULL", "x y", "1 1"},
		{"SELECT j.value FROM goods, json_each(labels) j", "value", "1"},
		{"SELECT name, row_number() OVER (ORDER BY name DESC) AS n FROM goods ORDER BY 1", "name n", "a 2|b 1"},
		{"SELECT count(*), max(count), group_concat(name) FROM goods", "count(*) max(count) group_concat(name)", "2 2 a,b"},
		{"SELECT name FROM tables WHERE owner = 'shop' ORDER BY name", "name", "goods|sales|stock"},
		{"VALUES (1), (2)", "column1", "1|2"},
		{"SELECT count FROM goods_history", "count", ""},
		{"SELECT rev FROM goods WHERE name IN (SELECT name FROM stock) LIMIT 1", "rev", "1"},
		{"SELECT count(*) AS n FROM (SELECT 1 FROM goods)", "n", "2"},
	} {
		columns, rows := ask(t, db, store.Question{SQL: c.sql})
		same(t, c.sql, strings.Join(columns, " ")+"/"+strings.Join(rows, "|"), c.columns+"/"+c.rows)
	}
	_, rows := ask(t, db, store.Question{SQL: "SELECT actor, created_at FROM transactions ORDER BY tx DESC LIMIT 1"})
	_, last := lastTx(t, db)
	same(t, "transactions", rows[0], "system "+store.TimeText(last.UnixMicro()))
	_, err := db.Ask(context.Background(), store.Question{SQL: "SELECT 1"}, func([]string, []any) error { return errUndo })
	if !errors.Is(err, errUndo) {
		t.Fatalf("the caller's error: %v", err)
	}
}

func testAskRefusals(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count, key) VALUES ('a', 1, 'secret')")
	do(t, db, "UPDATE goods SET key = 'secret2'")
	for sql, code := range map[string]volvox.Code{
		"":                                       volvox.BadSQL,
		" ; -- nothing":                          volvox.BadSQL,
		"SELEC 1":                                volvox.BadSQL,
		"SELECT 1; SELECT 2":                     volvox.BadSQL,
		"SELECT $1":                              volvox.BadSQL,
		"SELECT ?":                               volvox.BadSQL,
		"SELECT :name":                           volvox.BadSQL,
		"INSERT INTO goods (name) VALUES ('b')":  volvox.ReadOnly,
		"update goods set count = 1":             volvox.ReadOnly,
		"/* x */ DELETE FROM goods":              volvox.ReadOnly,
		"DROP TABLE goods":                       volvox.ReadOnly,
		"CREATE TABLE x (a TEXT)":                volvox.ReadOnly,
		"WITH x AS (SELECT 1) DELETE FROM goods": volvox.ReadOnly,
		"WITH x AS (SELECT 1) INSERT INTO tables (name) SELECT 'x'": volvox.ReadOnly,
		"PRAGMA user_version":              volvox.BadSQL,
		"ATTACH '/tmp/x' AS x":             volvox.BadSQL,
		"EXPLAIN SELECT 1":                 volvox.BadSQL,
		"BEGIN":                            volvox.BadSQL,
		"VACUUM INTO '/tmp/x'":             volvox.BadSQL,
		"SELECT * FROM main.goods":         volvox.BadSQL,
		"SELECT * FROM MAIN . goods":       volvox.BadSQL,
		"SELECT * FROM \"main\"/**/.goods": volvox.BadSQL,
		"SELECT * FROM [main].goods":       volvox.BadSQL,
		"SELECT * FROM `main`.goods":       volvox.BadSQL,
		"SELECT * FROM 'main'.goods":       volvox.BadSQL,
		"SELECT key FROM temp.goods":       volvox.BadSQL,
		"WITH goods AS (SELECT key FROM main.goods) SELECT * FROM goods":         volvox.BadSQL,
		"WITH goods AS (SELECT sql FROM sqlite_schema) SELECT * FROM goods":      volvox.BadSQL,
		"SELECT * FROM sqlite_master":                                            volvox.BadSQL,
		"SELECT * FROM sqlite_temp_schema":                                       volvox.BadSQL,
		"SELECT * FROM pragma_table_info('goods')":                               volvox.BadSQL,
		"WITH goods AS (SELECT * FROM pragma_database_list) SELECT * FROM goods": volvox.BadSQL,
		"SELECT * FROM volvox_moment":                                            volvox.BadSQL,
		"SELECT load_extension('x')":                                             volvox.BadSQL,
		"SELECT sqlite_version()":                                                volvox.BadSQL,
		"SELECT randomblob(10)":                                                  volvox.BadSQL,
		"SELECT readfile('/etc/passwd')":                                         volvox.BadSQL,
		"SELECT * FROM goods WHERE nothing = 1":                                  volvox.BadSQL,
	} {
		_, rows, err := tryAsk(db, store.Question{SQL: sql})
		if volvox.CodeOf(err) != code {
			t.Errorf("%s: want %s, got %v %v", sql, code, rows, err)
		}
	}
	same(t, "untouched", all[string](t, db, "SELECT key FROM goods"), []string{"secret2"})
}

func testAskHints(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	for _, tc := range []struct{ sql, near, try string }{
		{"SELECT * FROM good", "goods", "volvox sql --tables goods"},
		{"SELECT * FROM transaktions", "transactions", "volvox sql --tables transactions"},
		{"SELECT * FROM elsewhere", "", "volvox sql --tables"},
		{"SELECT cuont FROM goods", "count", "volvox sql --tables goods"},
		{"SELECT g.nam FROM goods g", "name", "volvox sql --tables goods"},
		{"SELECT NAM FROM GOODS", "name", "volvox sql --tables goods"},
		{"SELECT tx_ende FROM goods_history", "tx_end", "volvox sql --tables goods"},
		{"SELECT nam FROM transactions, goods", "name", "volvox sql --tables goods; volvox sql --tables transactions"},
		{"SELECT owne FROM goods", "", "volvox sql --tables goods"}, // tables and columns have an owner
		{"SELECT t.count FROM goods g, transactions t", "", "volvox sql --tables goods; volvox sql --tables transactions"},
		{"SELECT something", "", "volvox sql --tables"},
	} {
		_, _, err := tryAsk(db, store.Question{SQL: tc.sql})
		wish(t, err, volvox.BadSQL)
		e := volvox.AsError(err)
		if try := strings.Join(e.Try, "; "); try != tc.try {
			t.Errorf("%s: %v: try %q, want %q", tc.sql, err, try, tc.try)
		}
		if _, near, _ := strings.Cut(e.Why, "; did you mean "); near != tc.near && near != tc.near+"?" {
			t.Errorf("%s: %q, want %q", tc.sql, e.Why, tc.near)
		}
	}
}

// testAskSecrets tries to get at a secret in many ways.
func testAskSecrets(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop, schema("peek", `CREATE VIEW peek AS SELECT name, key AS k, length(key) AS l FROM goods;`))
	do(t, db, "INSERT INTO goods (name, count, key) VALUES ('a', 1, 'hunter2'), ('b', 1, NULL)")
	_, then := lastTx(t, db)
	do(t, db, "UPDATE goods SET key = 'hunter22' WHERE name = 'a'")
	for _, at := range []time.Time{{}, then} {
		for _, sql := range []string{
			"SELECT * FROM goods", "SELECT key FROM goods", "SELECT goods.key FROM goods", "SELECT * FROM goods_history",
			"SELECT k, l FROM peek", "SELECT max(key) FROM goods", "SELECT substr(key, 1, 3) FROM goods",
			"SELECT 'found hunter' FROM goods WHERE key LIKE 'h%'", "WITH goods AS (SELECT * FROM goods_history) SELECT * FROM goods",
			"WITH x AS (SELECT * FROM goods) SELECT key FROM x", "SELECT (SELECT key FROM goods WHERE name = 'a')",
			"WITH x AS (SELECT key FROM main \ufeff.goods) SELECT key FROM x", "WITH x AS (SELECT key FROM main \ufeff. goods_history) SELECT key FROM x",
			"SELECT json_object('k', key) FROM goods", "SELECT key FROM goods UNION SELECT key FROM goods_history",
		} {
			_, rows, err := tryAsk(db, store.Question{SQL: sql, AsOf: at})
			if err != nil && volvox.CodeOf(err) != volvox.BadSQL {
				t.Errorf("%s: %v", sql, err)
			}
			if text := fmt.Sprint(rows, err); strings.Contains(text, "hunter") || strings.Contains(text, "hun") {
				t.Errorf("%s shows a secret: %s", sql, text)
			}
		}
		_, rows := ask(t, db, store.Question{SQL: "SELECT key FROM goods ORDER BY name", AsOf: at})
		same(t, "masked", rows, []string{"****", "<nil>"})
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, c := range collect(ctx, t, db, store.From(0), []string{"goods"}, func(c []store.Change) bool { return len(c) == 3 }) {
		if strings.Contains(fmt.Sprint(c.Row), "hunter") {
			t.Errorf("the feed shows a secret: %v", c)
		}
	}
}

func testAskLimits(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	_, rows, err := tryAsk(db, store.Question{SQL: endless, MaxRows: 10})
	wish(t, err, volvox.TooManyRows)
	same(t, "rows before the limit", len(rows), 10)
	_, err = db.Ask(context.Background(), store.Question{SQL: "SELECT sum(i) FROM (" + endless + ")", Timeout: time.Second / 20}, nil)
	wish(t, err, volvox.SlowView)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/20)
	defer cancel()
	_, err = db.Ask(ctx, store.Question{SQL: "SELECT sum(i) FROM (" + endless + ")"}, nil)
	wish(t, err, volvox.Timeout)
	_, _, err = tryAsk(db, store.Question{SQL: "SELECT length(printf('%1000000000d', 1))"})
	wish(t, err, volvox.BadSQL)
}

func testAskPast(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('a', 1)")
	_, one := lastTx(t, db)
	do(t, db, "UPDATE goods SET count = 2")
	_, rows := ask(t, db, store.Question{SQL: "SELECT count, now() FROM goods", AsOf: one})
	same(t, "then", rows, []string{"1 " + store.TimeText(one.UnixMicro())})
	_, rows = ask(t, db, store.Question{SQL: "SELECT amount FROM stock", AsOf: one})
	same(t, "a view then", rows, []string{"1"})
	_, _, err := tryAsk(db, store.Question{SQL: "SELECT 1", AsOf: time.Now().Add(time.Hour)})
	wish(t, err, volvox.Future)
	_, _, err = tryAsk(db, store.Question{SQL: "SELECT 1", AsOf: one.Add(-time.Hour)})
	wish(t, err, volvox.Pruned)
}
