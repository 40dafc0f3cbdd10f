package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/store/storetest"
)

func open(dir string, l storetest.Limits) (*store.DB, error) {
	return sqlite.OpenWith(context.Background(), filepath.Join(dir, "kernel.db"),
		sqlite.Options{ClosureLimit: l.Closure, ViewLimit: l.View})
}

func TestConformance(t *testing.T) { storetest.Run(t, open) }
