package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// TestMakeWay reads in views that overlap without a gap while much is written.
func TestMakeWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel.db")
	db, _ := begin(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for i := range 2 {
		begun := make(chan struct{})
		once := sync.OnceFunc(func() { close(begun) })
		readers.Go(func() {
			<-time.After(time.Duration(i) * 50 * time.Millisecond)
			for ctx.Err() == nil {
				err := db.View(ctx, func(tx *store.Tx) error {
					_, err := store.All[string](tx, "SELECT k FROM things LIMIT 1")
					once()
					<-time.After(100 * time.Millisecond)
					return err
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		<-begun
	}
	for i := range 200 {
		want(t, put(db, fmt.Sprint(i), 1<<20), "")
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(endlessLog+maxFrames) * 4096; info.Size() > limit {
		t.Fatalf("the WAL has %d bytes, more than %d", info.Size(), limit)
	}
}

// TestEndlessView holds a view open while so much is written that it has to
// go; others do not fail.
func TestEndlessView(t *testing.T) {
	db, _ := begin(t, filepath.Join(t.TempDir(), "kernel.db"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.View(ctx, func(tx *store.Tx) error {
			if _, err := store.All[string](tx, "SELECT k FROM things"); err != nil {
				return err
			}
			close(begun)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := store.All[string](tx, "SELECT k FROM things WHERE k = ''"); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	<-begun
	for i := range 2000 {
		want(t, put(db, fmt.Sprint(i), 1<<20), "")
		select {
		case err := <-ended:
			want(t, err, volvox.SlowView)
			if n := len(keys(t, db)); n != i+1 {
				t.Fatalf("%d rows after %d writes", n, i+1)
			}
			return
		default:
		}
	}
	t.Fatal("the view is still open")
}
