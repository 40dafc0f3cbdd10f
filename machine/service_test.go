package machine_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
)

func open(t *testing.T) (*store.DB, *machine.Service) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), machine.Schema()); err != nil {
		t.Fatal(err)
	}
	return db, machine.New(db)
}

func TestRegisterKeepsWhoItIs(t *testing.T) {
	db, s := open(t)
	booted := time.Now()
	m := machine.Machine{Name: "box", Address: "127.0.0.1", Range: "100.66.0.0/16", Arch: "amd64", Kernel: "6.1", OS: "Debian 12",
		CPUMillis: 2000, MemoryBytes: 1 << 34, DiskBytes: 1 << 40, Version: "1", BootID: "b1", BootedAt: booted}
	if err := s.Register(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	first, err := s.Get(t.Context(), "box")
	if err != nil || first.ID == "" || first.Phase != volvox.Running || first.JoinedAt.IsZero() || first.MemoryBytes != 1<<34 || first.Range != m.Range {
		t.Fatalf("registered %+v, %v", first, err)
	}
	revisions := func() (n int64) {
		t.Helper()
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			n, err = store.One[int64](tx, `SELECT rev FROM machines WHERE name = 'box'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := revisions()
	if err := s.Register(t.Context(), m); err != nil || revisions() != before {
		t.Errorf("registering the same again wrote something (%v)", err)
	}
	m.ID, m.Version, m.BootID, m.BootedAt, m.MemoryBytes = "another", "2", "b2", booted.Add(time.Hour), 1<<33
	if err := s.Register(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("machines %+v, %v", all, err)
	}
	got := all[0]
	if got.ID != first.ID || !got.JoinedAt.Equal(first.JoinedAt) || got.Version != "2" || got.BootID != "b2" || got.MemoryBytes != 1<<33 ||
		got.BootedAt.UnixMicro() != m.BootedAt.UnixMicro() {
		t.Errorf("registered again: %+v", got)
	}
	if _, err := s.Get(t.Context(), "nobody"); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("unknown machine: %v", err)
	}
	if err := s.Register(t.Context(), machine.Machine{Name: "No Name"}); volvox.CodeOf(err) != volvox.BadName {
		t.Errorf("bad name: %v", err)
	}
}

func TestImagesComeAndGo(t *testing.T) {
	db, s := open(t)
	images := func() (all []machine.Image) {
		t.Helper()
		err := db.View(t.Context(), func(tx *store.Tx) (err error) { all, err = machine.Images(tx); return err })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	report := func(i machine.Image) {
		t.Helper()
		if err := s.ReportImage(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	i := machine.Image{Machine: "box", Ref: "deb:counter", Digest: "sha256:1", Bytes: 7,
		Packages: []machine.Package{{Name: "counter", Version: "1-2", SHA256: "ab"}, {Name: "base", Version: "3", SHA256: "cd"}}}
	report(i)
	report(i)
	elsewhere := i
	elsewhere.Machine = "other"
	report(elsewhere)
	all := images()
	if len(all) != 2 || len(all[0].Packages) != 2 || all[0].Packages[1] != i.Packages[0] || all[0].Bytes != 7 || all[0].FetchedAt.IsZero() {
		t.Fatalf("images %+v", all)
	}
	i.Gone, elsewhere.Gone = true, true
	report(i)
	if all = images(); len(all) != 1 || len(all[0].Packages) != 2 {
		t.Errorf("images %+v", all)
	}
	report(elsewhere)
	report(elsewhere)
	err := db.View(t.Context(), func(tx *store.Tx) error {
		left, err := store.One[int64](tx, `SELECT count(*) FROM image_packages`)
		if left != 0 {
			t.Errorf("%d packages of images that are gone", left)
		}
		return err
	})
	if all = images(); len(all) != 0 || err != nil {
		t.Errorf("images %+v, %v", all, err)
	}
}
