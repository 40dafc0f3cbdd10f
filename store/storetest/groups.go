package storetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// RunGroups tries what a driver promises that commits many closures as one
// group: each is undone alone.
func RunGroups(t *testing.T, open Open) {
	for _, one := range []struct {
		name string
		bad  func(g *groupTest, tx *store.Tx) error
		want volvox.Code
	}{
		{"Error", func(_ *groupTest, tx *store.Tx) error { return errUndo }, volvox.Internal},
		{"Constraint", func(_ *groupTest, tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO goods (name) VALUES ('taken')")
			return err
		}, volvox.Exists},
		{"Ignored", func(_ *groupTest, tx *store.Tx) error {
			tx.Exec("INSERT INTO goods (name) VALUES ('taken')")
			return nil
		}, volvox.Exists},
		{"Panic", func(*groupTest, *store.Tx) error { panic("a bug") }, volvox.Internal},
		{"Goexit", func(*groupTest, *store.Tx) error { runtime.Goexit(); return nil }, ""},
		{"Cancelled", func(g *groupTest, tx *store.Tx) error {
			g.cancel()
			_, err := tx.Exec("INSERT INTO goods (name) VALUES ('late')")
			return err
		}, volvox.Cancelled},
		{"Slow", func(_ *groupTest, tx *store.Tx) error {
			<-time.After(10 * time.Second) // of the bubble
			_, err := tx.Exec("INSERT INTO goods (name) VALUES ('late')")
			return err
		}, volvox.SlowClosure},
		{"SlowSilent", func(_ *groupTest, tx *store.Tx) error { <-time.After(10 * time.Second); return nil }, volvox.SlowClosure},
		{"SlowPanic", func(_ *groupTest, tx *store.Tx) error { <-time.After(10 * time.Second); panic("late") }, volvox.SlowClosure},
		{"SlowGoexit", func(_ *groupTest, tx *store.Tx) error { <-time.After(10 * time.Second); runtime.Goexit(); return nil }, ""},
		{"Reading", func(_ *groupTest, tx *store.Tx) error { // stopped while rows are open
			for range tx.Query("SELECT name FROM goods") {
				<-time.After(10 * time.Second)
			}
			return nil
		}, volvox.SlowClosure},
		{"Rollback", func(_ *groupTest, tx *store.Tx) error {
			_, err := tx.Exec("INSERT OR ROLLBACK INTO goods (name) VALUES ('taken')")
			return err
		}, volvox.Exists},
		{"Partial", func(_ *groupTest, tx *store.Tx) error {
			_, err := tx.Exec("INSERT OR FAIL INTO goods (name) VALUES ('part'), ('taken')")
			return err
		}, volvox.Exists},
		{"Nested", func(g *groupTest, tx *store.Tx) error { // with a context that does not tell
			return g.db.Update(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Exec("INSERT INTO goods (name) VALUES ('inner')")
				return err
			})
		}, volvox.SlowClosure},
		{"Deferred", func(_ *groupTest, tx *store.Tx) error { // found out at the commit
			_, err := tx.Exec("INSERT INTO parts (name, good) VALUES ('p', 'none')")
			return err
		}, volvox.Internal},
	} {
		t.Run(one.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { runGroup(t, open, dir, one.name, one.bad, one.want) })
		})
	}
	t.Run("SlowStatement", func(t *testing.T) { testSlowStatement(t, open) })
	t.Run("Many", func(t *testing.T) { testMany(t, open) })
}

// groupTest is what the bad closure may use.
type groupTest struct {
	db     *store.DB
	cancel context.CancelFunc
}

// answers are what the three callers got.
type answers struct {
	before, bad, after error
	goexit             bool // the caller of the bad one did not go on
	oneGroup           bool // the last one saw what was not committed yet
}

// runGroup puts three closures into one group, of which the middle one is
// bad, and holds the answers and the kernel against the promise.
func runGroup(t *testing.T, open Open, dir, name string, bad func(*groupTest, *store.Tx) error, want volvox.Code) {
	db := reopen(t, open, dir, Limits{}, shop, schema("parts",
		"CREATE TABLE parts (name TEXT PRIMARY KEY, good TEXT REFERENCES goods (name) DEFERRABLE INITIALLY DEFERRED);"))
	defer db.Close()
	do(t, db, "INSERT INTO goods (name) VALUES ('taken')")
	first, _ := lastTx(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g := &groupTest{db: db, cancel: cancel}

	got := g.together(t, ctx, bad)
	must(t, got.before)
	must(t, got.after)
	if want == "" && !got.goexit {
		t.Fatalf("the caller's goroutine went on after Goexit: %v", got.bad)
	}
	if want != "" {
		wish(t, got.bad, want)
	}
	if !got.oneGroup {
		t.Fatal("the closures were not in one group")
	}
	left := all[string](t, db, "SELECT name FROM goods ORDER BY name")
	wantLeft := []string{"after", "before", "taken"}
	transactions := first + 2
	if name == "Nested" {
		wantLeft, transactions = []string{"after", "before", "inner", "taken"}, first+3
	}
	same(t, "rows", left, wantLeft)
	last, _ := lastTx(t, db)
	same(t, "transactions", last, transactions)
	same(t, "feed", fmt.Sprint(all[int64](t, db, "SELECT tx FROM transactions WHERE tx > $1 ORDER BY tx", first)),
		fmt.Sprint(all[int64](t, db, "SELECT DISTINCT tx FROM goods WHERE tx > $1 ORDER BY tx", first)))
}

// together runs the closures as one group, the bad one in the middle.
func (g *groupTest) together(t *testing.T, ctx context.Context, bad func(*groupTest, *store.Tx) error) (got answers) {
	hold, held := make(chan struct{}), make(chan struct{})
	var done [4]chan struct{}
	start := func(i int, f func()) {
		done[i] = make(chan struct{})
		go func() { defer close(done[i]); f() }()
		synctest.Wait() // it stands in the queue
	}
	start(0, func() { // the group before, so that the next three wait together
		g.db.Update(context.Background(), func(tx *store.Tx) error { close(held); <-hold; return nil })
	})
	<-held
	insert := func(tx *store.Tx, name string) error {
		_, err := tx.Exec("INSERT INTO goods (name) VALUES ($1)", name)
		return err
	}
	start(1, func() {
		got.before = g.db.Update(context.Background(), func(tx *store.Tx) error { return insert(tx, "before") })
	})
	start(2, func() {
		got.goexit = true
		got.bad = g.db.Update(ctx, func(tx *store.Tx) error {
			if err := insert(tx, "bad"); err != nil {
				return err
			}
			return bad(g, tx)
		})
		got.goexit = false
	})
	start(3, func() {
		got.after = g.db.Update(context.Background(), func(tx *store.Tx) error {
			names, err := store.All[string](tx, "SELECT name FROM goods WHERE name = 'before'")
			if len(names) == 1 { // seen here, and not committed
				got.oneGroup = len(all[string](t, g.db, "SELECT name FROM goods WHERE name = 'before'")) == 0 || got.oneGroup
			}
			if err != nil {
				return err
			}
			return insert(tx, "after")
		})
	})
	close(hold)
	for _, d := range done {
		<-d
	}
	return got
}

// testSlowStatement has one statement that takes too long by itself.
func testSlowStatement(t *testing.T, open Open) {
	db := begin(t, open, Limits{Closure: time.Second / 4}, shop)
	const endless = "INSERT INTO goods (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'x' FROM n WHERE i < 0"
	bad, good := make(chan error, 1), make(chan error, 8)
	started := make(chan struct{})
	go func() {
		bad <- db.Update(context.Background(), func(tx *store.Tx) error {
			close(started)
			_, err := tx.Exec(endless)
			return err
		})
	}()
	<-started
	for i := range 8 {
		go func() {
			_, err := db.Exec(context.Background(), "INSERT INTO goods (name) VALUES ($1)", fmt.Sprint(i))
			good <- err
		}()
	}
	wish(t, <-bad, volvox.SlowClosure)
	for range 8 {
		must(t, <-good)
	}
	_, err := db.Exec(context.Background(), endless)
	wish(t, err, volvox.SlowClosure)
	same(t, "rows", all[int](t, db, "SELECT count(*) FROM goods"), []int{8})
}

// testMany has hundreds of closures, some of which are bad, and looks at the
// sum.
func testMany(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	do(t, db, "INSERT INTO goods (name, count) VALUES ('sum', 0)")
	const callers, each = 64, 20
	results := make(chan int, callers)
	for c := range callers {
		go func() {
			sum := 0
			for i := range each {
				err := db.Update(context.Background(), func(tx *store.Tx) error {
					n, err := store.One[int](tx, "SELECT count FROM goods WHERE name = 'sum'")
					if err != nil {
						return err
					}
					if _, err := tx.Exec("UPDATE goods SET count = $1 WHERE name = 'sum'", n+1); err != nil {
						return err
					}
					switch (c + i) % 5 {
					case 0:
						return errUndo
					case 1:
						panic("a bug")
					}
					return nil
				})
				if err == nil {
					sum++
				} else if err != errUndo && !strings.Contains(err.Error(), "a bug") {
					t.Error(err)
				}
			}
			results <- sum
		}()
	}
	sum := 0
	for range callers {
		sum += <-results
	}
	same(t, "sum", all[int](t, db, "SELECT count FROM goods"), []int{sum})
	same(t, "history", all[int](t, db, "SELECT count(*) FROM goods_history"), []int{sum})
}
