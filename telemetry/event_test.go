package telemetry_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
)

func openDB(t *testing.T) *store.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), telemetry.Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func list(t *testing.T, db *store.DB, project, kind, name string, limit int) (events []telemetry.Event) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		events, err = telemetry.List(tx, project, kind, name, limit)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestEventsAreListedInOrder(t *testing.T) {
	db := openDB(t)
	for i := range 10 {
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			return telemetry.Record(tx, telemetry.Event{Kind: "cluster", Name: fmt.Sprint("c", i%2), Message: fmt.Sprint(i),
				Level: telemetry.Problem, Code: volvox.Crashed})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	events := list(t, db, "main", "cluster", "c1", 3)
	if len(events) != 3 {
		t.Fatalf("%d events", len(events))
	}
	for i, want := range []string{"5", "7", "9"} {
		e := events[i]
		if e.Message != want || e.Project != "main" || e.Level != "error" || e.Code != volvox.Crashed || e.ID == "" || e.CreatedAt.IsZero() {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	if n := len(list(t, db, "", "", "", 0)); n != 10 {
		t.Errorf("%d events in all", n)
	}
	if n := len(list(t, db, "other", "", "", 0)); n != 0 {
		t.Errorf("%d events of another project", n)
	}
}

func TestEventGoesWithItsTransaction(t *testing.T) {
	db := openDB(t)
	no := errors.New("no")
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(telemetry.Record(tx, telemetry.Event{Kind: "machine", Name: "m", Message: "never"}), no)
	})
	if !errors.Is(err, no) {
		t.Fatal(err)
	}
	if events := list(t, db, "", "", "", 0); len(events) != 0 {
		t.Errorf("undone, and still there: %v", events)
	}
	err = db.Update(t.Context(), func(tx *store.Tx) error {
		return telemetry.Record(tx, telemetry.Event{Kind: "machine", Name: "m", Level: "loud", Message: "m"})
	})
	if err == nil {
		t.Error("an unknown level is accepted")
	}
}
