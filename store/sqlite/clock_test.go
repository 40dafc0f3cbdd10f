package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

// TestClockSetBack sets the clock back by an hour, while the kernel runs and
// while it is closed.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	ctx := context.Background()
	var clock atomic.Int64 // microseconds
	clock.Store(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(clock.Add(1)) }
	start := func() *store.DB {
		db, err := OpenWith(ctx, path, Options{Now: now})
		want(t, err, "")
		t.Cleanup(func() { db.Close() })
		want(t, db.Migrate(ctx, things), "")
		return db
	}
	db := start()
	at := func(moment time.Time) string {
		var found []string
		err := db.AsOf(moment).View(ctx, func(tx *store.Tx) (err error) {
			found, err = store.All[string](tx, "SELECT k FROM things ORDER BY k")
			return err
		})
		if err != nil {
			return string(volvox.CodeOf(err))
		}
		return fmt.Sprint(found)
	}
	check := func(what string, moment time.Time, want string) {
		t.Helper()
		if got := at(moment); got != want {
			t.Errorf("%s: want %s, got %s", what, want, got)
		}
	}
	made := func(k string) time.Time {
		var at time.Time
		err := db.View(ctx, func(tx *store.Tx) (err error) {
			at, err = store.One[time.Time](tx, "SELECT created_at FROM transactions WHERE tx = (SELECT tx FROM things WHERE k = $1)", k)
			return err
		})
		want(t, err, "")
		return at
	}
	want(t, put(db, "a", 1), "")
	check("before", now(), "[a]")
	clock.Add(-time.Hour.Microseconds())
	check("nothing written since", now().Add(-time.Minute), string(volvox.Pruned))
	want(t, put(db, "b", 1), "")
	check("set back", now(), "[a b]")
	check("of the first", made("a"), "[a]")
	check("of the second, which is ahead of the clock", made("b"), "[a b]")
	check("the future", now().Add(2*time.Hour), string(volvox.Future))
	want(t, db.Close(), "")
	clock.Add(-time.Minute.Microseconds())
	db = start()
	check("set back and opened anew", now(), "[a b]")
	want(t, put(db, "c", 1), "")
	check("written after it", now(), "[a b c]")
	check("the second still", made("b"), "[a b]")
	clock.Add(2 * time.Hour.Microseconds())
	want(t, put(db, "d", 1), "")
	check("caught up", now(), "[a b c d]")
	check("of the third", made("c"), "[a b c]")
}

// TestHeld has another program hold the kernel's file.
func TestHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	db, d := begin(t, path)
	err := db.Update(context.Background(), func(*store.Tx) error { d.conn.SetBusyTimeout(10 * time.Millisecond); return nil })
	want(t, err, "")
	other, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	want(t, err, "")
	defer other.Close()
	run := func(text string) {
		s, _, err := other.PrepareTransient(text)
		want(t, err, "")
		defer s.Finalize()
		_, err = s.Step()
		want(t, err, "")
	}
	run("BEGIN IMMEDIATE")
	answer := make(chan error, 1)
	go func() { answer <- put(db, "a", 1) }()
	select {
	case err := <-answer:
		want(t, err, volvox.Unavailable)
	case <-time.After(20 * time.Second):
		run("ROLLBACK")
		t.Fatal("a write waits for another program")
	}
	run("ROLLBACK")
	want(t, put(db, "a", 1), "")
}

// TestStandstill has the timer of closures stand still, as with the whole
// process. A closure that goes on at once when it does is not too slow.
func TestStandstill(t *testing.T) {
	db, d := begin(t, filepath.Join(t.TempDir(), "kernel.db")) // with a limit of one second
	running, still := make(chan struct{}), make(chan struct{})
	answer := make(chan error, 1)
	go func() {
		answer <- db.Update(context.Background(), func(tx *store.Tx) error {
			close(running)
			<-still
			_, err := tx.Exec("INSERT INTO things (k) VALUES ('a')")
			return err
		})
	}()
	<-running
	d.mu.Lock()
	<-time.After(1500 * time.Millisecond)
	d.mu.Unlock()
	close(still)
	want(t, <-answer, "")
}

// TestChanged looks at which transactions may have changed a table.
func TestChanged(t *testing.T) {
	db, d := begin(t, filepath.Join(t.TempDir(), "kernel.db"))
	changed := func(table string) (last, tx int64) {
		last, tx, _ = d.Committed(table)
		return last, tx
	}
	opened, _ := changed("things")
	want(t, put(db, "a", 1), "")
	if last, tx := changed("things"); last != opened+1 || tx != last {
		t.Errorf("a write: %d, changed by %d", last, tx)
	}
	if _, tx := changed("migrations"); tx != opened {
		t.Errorf("another table: changed by %d", tx)
	}
	if last, tx := changed("transactions"); tx != last {
		t.Errorf("the transactions: changed by %d", tx)
	}
	want(t, put(db, "a", 1), volvox.Exists)
	db.Exec(context.Background(), "DELETE FROM things WHERE k = 'none'")
	if last, tx := changed("things"); last != opened+1 || tx != last {
		t.Errorf("nothing written: %d, changed by %d", last, tx)
	}
}
