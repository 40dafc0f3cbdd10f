package addon_test

import (
	"path/filepath"
	"testing"

	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
)

func TestRecord(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(ctx, addon.Schema()); err != nil {
		t.Fatal(err)
	}
	all := loadAll(t)
	record := func(a []*addon.Addon) {
		t.Helper()
		if err := addon.Record(ctx, db, a); err != nil {
			t.Fatal(err)
		}
	}
	one := func(query string, args ...any) (n int) {
		t.Helper()
		err := db.View(ctx, func(tx *store.Tx) (err error) {
			n, err = store.One[int](tx, query, args...)
			return err
		})
		if err != nil {
			t.Fatal(query, err)
		}
		return n
	}
	record(all)
	for table, least := range map[string]int{"addons": 3, "addon_versions": 4, "addon_topologies": 6, "addon_parameters": 20} {
		if n := one("SELECT count(*) FROM " + table); n < least {
			t.Errorf("%s has %d rows", table, n)
		}
	}
	if n := one("SELECT count(*) FROM addon_versions WHERE is_default"); n != len(all) {
		t.Errorf("%d default versions", n)
	}

	// The same again changes nothing: every row stays at its first revision.
	record(all)
	if n := one("SELECT count(*) FROM addon_parameters WHERE rev > 1"); n != 0 {
		t.Errorf("%d rows were written again", n)
	}

	// A changed addon changes its rows alone, and a lost one is gone.
	changed := *all[0]
	changed.Title = "Changed"
	record([]*addon.Addon{&changed, all[1]})
	if n := one("SELECT count(*) FROM addons WHERE title = 'Changed'"); n != 1 {
		t.Error("the change is not there")
	}
	if n := one("SELECT count(*) FROM addons WHERE rev > 1"); n != 1 {
		t.Errorf("%d rows were changed", n)
	}
	if n := one("SELECT count(*) FROM addon_parameters WHERE addon = $1", all[2].Name); n != 0 {
		t.Errorf("%d parameters of an addon that is gone", n)
	}
	if n := one("SELECT count(*) FROM addons"); n != 2 {
		t.Errorf("%d addons", n)
	}
}
