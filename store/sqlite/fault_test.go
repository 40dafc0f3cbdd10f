package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"zombiezen.com/go/sqlite"
)

var things = store.Schema{Owner: "t", Migrations: fstest.MapFS{"migrations/001_t.sql": {Data: []byte(
	`CREATE TABLE things (k TEXT PRIMARY KEY, v BYTEA);`)}}}

// begin opens a kernel and its driver.
func begin(t *testing.T, path string) (*store.DB, *driver) {
	t.Helper()
	d, err := open(path, Options{ClosureLimit: time.Second, ViewLimit: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.New(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(context.Background(), things); err != nil {
		t.Fatal(err)
	}
	return db, d
}

func put(db *store.DB, k string, size int) error {
	_, err := db.Exec(context.Background(), "INSERT INTO things (k, v) VALUES ($1, $2)", k, make([]byte, size))
	return err
}

func keys(t *testing.T, db *store.DB) (found []string) {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) (err error) {
		found, err = store.All[string](tx, "SELECT k FROM things ORDER BY k")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func want(t *testing.T, err error, code volvox.Code) {
	t.Helper()
	if volvox.CodeOf(err) != code {
		t.Fatalf("want %s, got %v", code, err)
	}
}

// together runs the writes as one group, and returns their errors.
func together(t *testing.T, db *store.DB, writes ...func() error) []error {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(writes))
	done := make(chan struct{})
	go db.Update(context.Background(), func(*store.Tx) error { close(held); <-hold; return nil })
	<-held
	for i, w := range writes {
		go func() { errs[i] = w(); done <- struct{}{} }()
		synctest.Wait()
	}
	close(hold)
	for range writes {
		<-done
	}
	return errs
}

// TestFull fills the kernel up to a limit on its pages, which SQLite reports
// as it does a full disk.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	synctest.Test(t, func(t *testing.T) {
		db, d := begin(t, path)
		pages := func(n int64) {
			err := db.Update(context.Background(), func(*store.Tx) error {
				_, err := d.conn.number(fmt.Sprintf("PRAGMA max_page_count = %d", n))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		used, err := int64(0), error(nil)
		db.Update(context.Background(), func(*store.Tx) error { used, err = d.conn.number("PRAGMA page_count"); return err })
		pages(used + 20)
		errs := together(t, db, func() error { return put(db, "a", 10) }, func() error { return put(db, "big", 1<<20) },
			func() error { return put(db, "b", 10) },
			func() error {
				return db.Update(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec("INSERT INTO things (k, v) VALUES ('huge', $1)", make([]byte, 2<<20))
					return err
				})
			})
		for i, code := range []volvox.Code{"", volvox.DiskFull, "", volvox.DiskFull} {
			want(t, errs[i], code)
		}
		if got := fmt.Sprint(keys(t, db)); got != "[a b]" {
			t.Fatalf("rows %s", got)
		}
		pages(1 << 30)
		if err := put(db, "big", 1<<20); err != nil {
			t.Fatal(err)
		}
		db.Close()
	})
}

// TestCommitFails plants errors in the commit.
func TestCommitFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	synctest.Test(t, func(t *testing.T) {
		db, d := begin(t, path)
		commit := d.commit
		plant := func(codes ...sqlite.ResultCode) {
			db.Update(context.Background(), func(*store.Tx) error { // while no group commits
				d.commit = func() error {
					if len(codes) == 0 || codes[0] == sqlite.ResultOK {
						codes = codes[min(1, len(codes)):]
						return commit()
					}
					code := codes[0]
					codes = codes[1:]
					return code.ToError()
				}
				return nil
			})
		}
		runs := 0
		counted := func() error {
			return db.Update(context.Background(), func(tx *store.Tx) error {
				runs++
				_, err := tx.Exec("INSERT INTO things (k) VALUES ($1)", fmt.Sprint("run", runs))
				return err
			})
		}
		plant(sqlite.ResultOK, sqlite.ResultNoMem) // once: the group is run again
		want(t, counted(), "")
		plant(sqlite.ResultOK, sqlite.ResultFull, sqlite.ResultFull) // twice
		want(t, put(db, "full", 1), volvox.DiskFull)
		want(t, put(db, "later", 1), "")
		if got := fmt.Sprint(keys(t, db)); got != "[later run2]" || runs != 2 {
			t.Fatalf("rows %s after %d runs", got, runs)
		}
		plant(sqlite.ResultOK, sqlite.ResultOK, sqlite.ResultIOErrFsync) // never trusted again
		errs := together(t, db, func() error { return put(db, "x", 1) }, func() error { return put(db, "y", 1) })
		for _, err := range append(errs, put(db, "z", 1)) {
			want(t, err, volvox.Unavailable)
		}
		if got := fmt.Sprint(keys(t, db)); got != "[later run2]" {
			t.Fatalf("rows %s", got)
		}
		db.Close()
		db, _ = begin(t, path)
		want(t, put(db, "after", 1), "")
		db.Close()
	})
}

// TestCheckpoint writes much and looks at the length of the WAL.
func TestCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	db, _ := begin(t, path)
	for i := range 2 * checkEvery {
		want(t, put(db, fmt.Sprint(i), 1<<20), "")
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(maxFrames*4096 + checkEvery<<20 + 1<<22); info.Size() > limit {
		t.Fatalf("the WAL has %d bytes, more than %d", info.Size(), limit)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a closed kernel has a WAL of %d bytes", info.Size())
	}
}

// TestPruned takes the first transactions away, as retention will.
func TestPruned(t *testing.T) {
	db, d := begin(t, filepath.Join(t.TempDir(), "kernel.db"))
	ctx := context.Background()
	want(t, put(db, "a", 1), "")
	at := time.Now()
	want(t, put(db, "b", 1), "")
	last, _, _ := d.Committed()
	err := db.Update(ctx, func(*store.Tx) error { return d.conn.do("DELETE FROM transactions WHERE tx < $1", last) })
	want(t, err, "")
	want(t, db.AsOf(at).View(ctx, func(*store.Tx) error { return nil }), volvox.Pruned)
	for _, err := range db.Watch(ctx, store.From(last-2)) {
		want(t, err, volvox.Pruned)
	}
	for c, err := range db.Watch(ctx, store.From(last-1), "things") {
		if want(t, err, ""); c.Row["k"] != "b" {
			t.Fatal(c)
		}
		break
	}
}
