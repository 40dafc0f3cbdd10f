package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
)

var benchSchema = store.Schema{Owner: "b", Migrations: fstest.MapFS{"migrations/001_b.sql": {Data: []byte(`
CREATE TABLE steps (workflow TEXT NOT NULL, number BIGINT NOT NULL, output TEXT NOT NULL, PRIMARY KEY (workflow, number));
-- append-only: The same.
CREATE TABLE events (workflow TEXT NOT NULL, number BIGINT NOT NULL, output TEXT NOT NULL, PRIMARY KEY (workflow, number));`)}}}

var output = fmt.Sprintf(`{"output":"%0180d"}`, 7)

func bench(b *testing.B) *store.DB {
	db, err := sqlite.Open(context.Background(), filepath.Join(b.TempDir(), "kernel.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if err := db.Migrate(context.Background(), benchSchema); err != nil {
		b.Fatal(err)
	}
	return db
}

// each runs f with growing numbers, by one or by many callers at once.
func each(b *testing.B, callers int, f func(n int64) error) {
	var n atomic.Int64
	b.SetParallelism(max(1, callers/2))
	b.ReportAllocs()
	b.ResetTimer()
	if callers == 1 {
		for b.Loop() {
			if err := f(n.Add(1)); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(n.Add(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const insert = " (workflow, number, output) VALUES ($1, $2, $3)"

func BenchmarkExec(b *testing.B) {
	for _, callers := range []int{1, 256} {
		for _, table := range []string{"steps", "events"} {
			b.Run(fmt.Sprintf("insert/%s/%d", table, callers), func(b *testing.B) {
				db := bench(b)
				each(b, callers, func(n int64) error {
					_, err := db.Exec(context.Background(), "INSERT INTO "+table+insert, fmt.Sprint("w", n%100), n, output)
					return err
				})
			})
		}
		b.Run(fmt.Sprintf("update/%d", callers), func(b *testing.B) {
			db := bench(b)
			fill(b, db, 1000)
			each(b, callers, func(n int64) error {
				_, err := db.Exec(context.Background(), "UPDATE steps SET output = $1 WHERE workflow = 'w' AND number = $2", output, n%1000)
				return err
			})
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprintf("insert/%d", callers), func(b *testing.B) {
			db := bench(b)
			each(b, callers, func(n int64) error {
				return db.Update(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec("INSERT INTO steps"+insert, fmt.Sprint("w", n%100), n, output)
					return err
				})
			})
		})
	}
}

// BenchmarkWatched writes while many watch another table.
func BenchmarkWatched(b *testing.B) {
	for _, watchers := range []int{0, 50} {
		b.Run(fmt.Sprintf("insert/%d", watchers), func(b *testing.B) {
			db := bench(b)
			ctx, cancel := context.WithCancel(context.Background())
			var group sync.WaitGroup
			for range watchers {
				changes := db.Watch(ctx, store.Now(), "events")
				group.Go(func() {
					for range changes {
					}
				})
			}
			each(b, 1, func(n int64) error {
				_, err := db.Exec(context.Background(), "INSERT INTO steps"+insert, "w", n, output)
				return err
			})
			cancel()
			group.Wait()
		})
	}
}

func BenchmarkView(b *testing.B) {
	for _, callers := range []int{1, 2} {
		b.Run(fmt.Sprintf("row/%d", callers), func(b *testing.B) {
			db := bench(b)
			fill(b, db, 1000)
			type step struct {
				Number int64  `json:"number"`
				Output string `json:"output"`
			}
			each(b, callers, func(n int64) error {
				return db.View(context.Background(), func(tx *store.Tx) error {
					_, err := store.One[step](tx, "SELECT number, output FROM steps WHERE workflow = 'w' AND number = $1", n%1000)
					return err
				})
			})
		})
	}
}

func BenchmarkAsk(b *testing.B) {
	for name, past := range map[string]bool{"present": false, "past": true} {
		b.Run(name, func(b *testing.B) {
			db := bench(b)
			fill(b, db, 1000)
			q := store.Question{SQL: "SELECT number, output FROM steps WHERE workflow = 'w' AND number = 7"}
			if past {
				q.AsOf = time.Now()
			}
			each(b, 1, func(int64) error {
				_, err := db.Ask(context.Background(), q, func([]string, []any) error { return nil })
				return err
			})
		})
	}
}

func fill(b *testing.B, db *store.DB, rows int) {
	err := db.Update(context.Background(), func(tx *store.Tx) error {
		for i := range rows {
			if _, err := tx.Exec("INSERT INTO steps"+insert, "w", i, output); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
