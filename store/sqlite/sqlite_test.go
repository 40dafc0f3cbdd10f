package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/store/storetest"
)

func open(dir string, l storetest.Limits) (*store.DB, error) {
	return sqlite.OpenWith(context.Background(), filepath.Join(dir, "kernel.db"),
		sqlite.Options{ClosureLimit: l.Closure, ViewLimit: l.View})
}

func TestMain(m *testing.M) { storetest.Main(m, open) }

func TestConformance(t *testing.T) { storetest.Run(t, open) }

func TestGroups(t *testing.T) { storetest.RunGroups(t, open) }

func TestCrashes(t *testing.T) { storetest.RunCrashes(t, open, 10) }

func TestOpen(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	for name, want := range map[string]volvox.Code{"none/kernel.db": volvox.NotFound, "text.db": volvox.Corrupt} {
		if err := os.WriteFile(filepath.Join(dir, "text.db"), make([]byte, 8192), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "text.db"), []byte("this is not a kernel, and long enough to see it: it is only a text"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(ctx, filepath.Join(dir, name)); volvox.CodeOf(err) != want {
			t.Errorf("%s: want %s, got %v", name, want, err)
		}
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(filepath.Join(dir, "kernel.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("kernel.db%s has mode %s", suffix, info.Mode())
		}
	}
}
