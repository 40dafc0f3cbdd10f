// Package storetest is what a driver of the store must pass: the promises of
// package store, tried one by one and at random, also with kill -9.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Limits are the driver's limits in a test; 0 is its own.
type Limits struct {
	Closure, View time.Duration
}

// Open opens the kernel of a directory; it is made when the directory is
// empty. The caller closes it.
type Open func(dir string, l Limits) (*store.DB, error)

// Run tries everything that every driver promises.
func Run(t *testing.T, open Open) {
	for _, one := range []struct {
		name string
		f    func(*testing.T, Open)
	}{
		{"Values", testValues}, {"Scan", testScan}, {"Transactions", testTransactions}, {"Refusals", testRefusals},
		{"Views", testViews}, {"SlowViews", testSlowViews}, {"Reopen", testReopen}, {"OneAtATime", testOneAtATime},
		{"Migrations", testMigrations}, {"Documentation", testDocumentation}, {"AddColumn", testAddColumn},
		{"History", testHistory}, {"AppendOnly", testAppendOnly}, {"Replace", testReplace}, {"References", testReferences},
		{"Past", testPast}, {"PastRefusals", testPastRefusals}, {"PastViews", testPastViews}, {"PastStands", testPastStands},
		{"Ask", testAsk}, {"AskRefusals", testAskRefusals}, {"AskHints", testAskHints}, {"AskSecrets", testAskSecrets}, {"AskLimits", testAskLimits}, {"AskBounds", testAskBounds}, {"Namesakes", testNamesakes}, {"AskPast", testAskPast},
		{"Watch", testWatch}, {"WatchPositions", testWatchPositions}, {"WatchWriters", testWatchWriters}, {"WatchOthers", testWatchOthers}, {"NothingWritten", testNothingWritten},
		{"Random", testRandom},
	} {
		t.Run(one.name, func(t *testing.T) { one.f(t, open) })
	}
}

// shop is a schema with one of each.
var shop = store.Schema{Owner: "shop", Migrations: fstest.MapFS{"migrations/001_shop.sql": {Data: []byte(`
-- The goods of a shop,
-- each once.
CREATE TABLE goods (
    name     TEXT PRIMARY KEY,  -- What it is called.
    count    BIGINT NOT NULL DEFAULT 0, -- How many there are.
    price    REAL,
    ready    BOOLEAN NOT NULL DEFAULT FALSE, -- Whether it can be sold.
    key      TEXT,              -- secret: Opens the drawer.
    labels   TEXT,              -- json: What is written on it.
    raw      BYTEA,
    sold_at  BIGINT             -- When it was last sold,
                                -- if ever.
);

-- append-only: What was sold.
CREATE TABLE sales (
    number BIGINT NOT NULL,
    name   TEXT NOT NULL, -- What.
    PRIMARY KEY (number)
);

-- What is there.
CREATE VIEW stock AS
SELECT name,           -- Of what.
       count AS amount, -- How much.
       sold_at - 5 AS before_at
FROM goods WHERE count > 0;

CREATE INDEX goods_count ON goods (count);
`)}}}

func begin(t testing.TB, open Open, l Limits, schemas ...store.Schema) *store.DB {
	t.Helper()
	return reopen(t, open, t.TempDir(), l, schemas...)
}

func reopen(t testing.TB, open Open, dir string, l Limits, schemas ...store.Schema) *store.DB {
	t.Helper()
	db, err := open(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(context.Background(), schemas...); err != nil {
		t.Fatal(err)
	}
	return db
}

// wish fails the test unless the error has the code.
func wish(t testing.TB, err error, code volvox.Code) {
	t.Helper()
	if volvox.CodeOf(err) != code {
		t.Fatalf("want %s, got %s: %v", code, volvox.CodeOf(err), err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func do(t testing.TB, db *store.DB, stmt string, args ...any) int64 {
	t.Helper()
	n, err := db.Exec(context.Background(), stmt, args...)
	if err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
	return n
}

// viewer is the present or a past.
type viewer interface {
	View(context.Context, func(*store.Tx) error) error
}

func all[T any](t testing.TB, db viewer, stmt string, args ...any) []T {
	t.Helper()
	var found []T
	err := db.View(context.Background(), func(tx *store.Tx) (err error) {
		found, err = store.All[T](tx, stmt, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
	return found
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// ask returns the rows of an answer as text.
func ask(t testing.TB, db *store.DB, q store.Question) ([]string, []string) {
	t.Helper()
	columns, rows, err := tryAsk(db, q)
	if err != nil {
		t.Fatalf("%s: %v", q.SQL, err)
	}
	return columns, rows
}

func tryAsk(db *store.DB, q store.Question) (columns, rows []string, err error) {
	columns, err = db.Ask(context.Background(), q, func(_ []string, row []any) error {
		rows = append(rows, strings.TrimSuffix(fmt.Sprintln(row...), "\n"))
		return nil
	})
	return columns, rows, err
}

// lastTx is the last transaction and its time.
func lastTx(t testing.TB, db *store.DB) (int64, time.Time) {
	t.Helper()
	type last struct {
		Tx        int64     `json:"tx"`
		CreatedAt time.Time `json:"created_at"`
	}
	found := all[last](t, db, "SELECT tx, created_at FROM transactions ORDER BY tx DESC LIMIT 1")
	return found[0].Tx, found[0].CreatedAt
}

// collect reads changes until stop says so.
func collect(ctx context.Context, t testing.TB, db *store.DB, from store.Start, tables []string, stop func([]store.Change) bool) []store.Change {
	t.Helper()
	var found []store.Change
	for c, err := range db.Watch(ctx, from, tables...) {
		if err != nil {
			t.Error(err)
			return found
		}
		if found = append(found, c); stop(found) {
			break
		}
	}
	return found
}

var errUndo = errors.New("undo")
