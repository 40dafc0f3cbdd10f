package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

func line(c store.Change) string {
	text := fmt.Sprintf("%s %s %v %v r%d", c.Op, c.Table, c.Row["name"], c.Row["count"], c.Rev)
	if c.Last {
		text += "."
	}
	return text
}

func lines(changes []store.Change) (all []string) {
	for _, c := range changes {
		all = append(all, line(c))
	}
	return all
}

func testWatch(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start, _ := lastTx(t, db)
	write := func() {
		do(t, db, "INSERT INTO goods (name, count, ready) VALUES ('a', 1, $1)", true)
		must(t, db.Update(ctx, func(tx *store.Tx) error {
			for _, stmt := range []string{"UPDATE goods SET count = 2", "UPDATE goods SET count = 3", "INSERT INTO goods (name) VALUES ('b')",
				"INSERT INTO goods (name) VALUES ('c')", "DELETE FROM goods WHERE name = 'c'", "INSERT INTO sales (number, name) VALUES (1, 'a')"} {
				if _, err := tx.Exec(stmt); err != nil {
					return err
				}
			}
			return nil
		}))
		do(t, db, "UPDATE goods SET name = 'z' WHERE name = 'a'")
		do(t, db, "DELETE FROM goods WHERE name = 'b'")
		do(t, db, "INSERT OR REPLACE INTO goods (name, count) VALUES ('z', 8)")
	}
	want := []string{"insert goods a 1 r1.", "update goods a 3 r3", "insert goods b 0 r1", "insert sales a <nil> r1.",
		"delete goods a 3 r3", "insert goods z 3 r4.", "delete goods b 0 r1.", "update goods z 8 r1."}
	stop := func(c []store.Change) bool { return len(c) == len(want) }
	live := db.Watch(ctx, store.Now(), "goods", "sales")
	write()
	var found []store.Change
	for c, err := range live {
		must(t, err)
		if found = append(found, c); stop(found) {
			break
		}
	}
	same(t, "live", lines(found), want)
	same(t, "later", lines(collect(ctx, t, db, store.From(start), []string{"goods", "sales"}, stop)), want)
	same(t, "resumed", lines(collect(ctx, t, db, store.From(start+1), []string{"goods", "sales"}, func(c []store.Change) bool { return len(c) == 3 })), want[1:4])
	same(t, "one table", lines(collect(ctx, t, db, store.From(start), []string{"sales"}, func(c []store.Change) bool { return true })), []string{"insert sales a <nil> r1."})
	if ready := found[0].Row["ready"]; ready != true {
		t.Errorf("a boolean is %v", ready)
	}
	everything := collect(ctx, t, db, store.From(0), nil, func(c []store.Change) bool { return c[len(c)-1].Tx == start+5 && c[len(c)-1].Last })
	if n := len(everything); n < len(want)+5 {
		t.Errorf("everything is only %d changes", n)
	}
}

func testWatchPositions(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	ctx := context.Background()
	first := func(from store.Start, tables ...string) error {
		for _, err := range db.Watch(ctx, from, tables...) {
			return err
		}
		return nil
	}
	last, _ := lastTx(t, db)
	wish(t, first(store.From(last+1)), volvox.Future)
	wish(t, first(store.From(-1)), volvox.Pruned)
	wish(t, first(store.Now(), "nothing"), volvox.NotFound)
	wish(t, first(store.Now(), "stock"), volvox.NotFound)
	wish(t, db.Update(ctx, func(tx *store.Tx) error {
		for _, err := range db.Watch(tx.Context(), store.Now()) {
			return err
		}
		return nil
	}), volvox.NestedTransaction)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for range db.Watch(ended, store.Now()) {
		t.Error("a change after the end")
	}
	waiting := db.Watch(ctx, store.Now())
	must(t, db.Close())
	for _, err := range waiting {
		wish(t, err, volvox.Unavailable)
	}
}

// testWatchWriters has many write at once, and watchers that come and go.
func testWatchWriters(t *testing.T, open Open) {
	db := begin(t, open, Limits{}, shop)
	const writers, each = 8, 60
	start, _ := lastTx(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				err := db.Update(ctx, func(tx *store.Tx) error {
					name := fmt.Sprint(w, "-", i/3)
					stmt := "INSERT INTO goods (name, count) VALUES ($1, $2)"
					if i%3 > 0 {
						stmt = "UPDATE goods SET count = $2 WHERE name = $1"
					}
					_, err := tx.Exec(stmt, name, i)
					if err == nil {
						_, err = tx.Exec("INSERT INTO sales (number, name) VALUES ($1, $2)", w*each+i, name)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	const total = 2 * writers * each
	var found []store.Change
	position := start
	for len(found) < total { // goes away and comes back
		part := collect(ctx, t, db, store.From(position), []string{"goods", "sales"}, func(c []store.Change) bool {
			return c[len(c)-1].Last && (len(c) > 37 || len(found)+len(c) == total)
		})
		if len(part) == 0 {
			t.Fatal("the watch ended")
		}
		found = append(found, part...)
		position = part[len(part)-1].Tx
	}
	group.Wait()
	if err := checkFeed(found, start, writers*each); err != nil {
		t.Fatal(err)
	}
	planted := map[string][]store.Change{
		"a lost change":      slices.Delete(slices.Clone(found), 100, 101),
		"a lost transaction": slices.Delete(slices.Clone(found), 100, 102),
		"another order":      append(slices.Clone(found[2:4]), append(slices.Clone(found[:2]), found[4:]...)...),
		"a change twice":     append(slices.Clone(found), found[len(found)-1]),
	}
	for name, bad := range planted {
		if checkFeed(bad, start, writers*each) == nil {
			t.Errorf("%s was not noticed", name)
		}
	}
}

// checkFeed checks that transactions come whole, in order and without a gap,
// and that each key's revisions rise by one.
func checkFeed(found []store.Change, after int64, transactions int) error {
	revs := map[string]int64{}
	tx, open := after, 0
	for i, c := range found {
		if open == 0 {
			tx++
		}
		open++
		if c.Tx != tx {
			return fmt.Errorf("change %d is of transaction %d, not %d", i, c.Tx, tx)
		}
		if c.Table == "goods" {
			name := fmt.Sprint(c.Row["name"])
			if c.Rev != revs[name]+1 || (c.Op == "insert") != (c.Rev == 1) {
				return fmt.Errorf("%s %s has revision %d after %d", c.Op, name, c.Rev, revs[name])
			}
			revs[name] = c.Rev
		}
		if c.Last {
			if open != 2 {
				return fmt.Errorf("transaction %d has %d changes", tx, open)
			}
			open = 0
		}
	}
	if tx != after+int64(transactions) || open != 0 {
		return fmt.Errorf("the last transaction is %d", tx)
	}
	return nil
}
