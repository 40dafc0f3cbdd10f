package secret_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
)

func openDB(t *testing.T, dir string) *store.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "kernel.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), secret.Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func openSecrets(t *testing.T, db *store.DB, keyFile string) *secret.Service {
	t.Helper()
	s, err := secret.Open(t.Context(), db, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, db *store.DB, s *secret.Service, project, name, value string) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *store.Tx) error { return s.Put(tx, project, name, value) }); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, db *store.DB, s *secret.Service, project, name string) (value string, err error) {
	t.Helper()
	viewErr := db.View(t.Context(), func(tx *store.Tx) error { value, err = s.Get(tx, project, name); return nil })
	if viewErr != nil {
		t.Fatal(viewErr)
	}
	return value, err
}

func TestPutGetDelete(t *testing.T) {
	dir := t.TempDir()
	db, keyFile := openDB(t, dir), filepath.Join(dir, "secret.key")
	s := openSecrets(t, db, keyFile)
	put(t, db, s, "main", "shop/admin", "first")
	put(t, db, s, "main", "shop/admin", "hunter2 is the value")
	put(t, db, s, "other", "shop/admin", "")
	s = openSecrets(t, db, keyFile) // as after a restart
	if v, err := get(t, db, s, "main", "shop/admin"); v != "hunter2 is the value" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if v, err := get(t, db, s, "other", "shop/admin"); v != "" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	for range 2 {
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return s.Delete(tx, "main", "shop/admin") }); err != nil {
			t.Error(err)
		}
	}
	if _, err := get(t, db, s, "main", "shop/admin"); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("deleted, and got %v", err)
	}
	for _, name := range []string{"", "/", "a//b", "../etc", "a/..", "a b", "a/", "/a"} {
		err := db.Update(t.Context(), func(tx *store.Tx) error { return s.Put(tx, "main", name, "v") })
		if volvox.CodeOf(err) != volvox.BadName {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// TestNothingIsReadable looks for the value in the whole directory, and in
// what SQL answers.
func TestNothingIsReadable(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	s := openSecrets(t, db, filepath.Join(dir, "secret.key"))
	const value = "SoPlainThatItIsEasyToFind"
	put(t, db, s, "main", "shop/admin", value)
	var sealed string
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		sealed, err = store.One[string](tx, `SELECT sealed FROM secrets`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	_, err = db.Ask(t.Context(), store.Question{SQL: "SELECT * FROM secrets"}, func(columns []string, row []any) error {
		answered++
		for i := range row {
			if row[i] == sealed || row[i] == value {
				t.Errorf("column %s is not masked: %v", columns[i], row[i])
			}
		}
		return nil
	})
	if err != nil || answered != 1 {
		t.Errorf("%d rows, %v", answered, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || strings.Contains(string(b), value) {
			t.Errorf("%s has the value in clear (%v)", f, err)
		}
	}
}

// TestBoundToItsName moves a sealed value to another name.
func TestBoundToItsName(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	s := openSecrets(t, db, filepath.Join(dir, "secret.key"))
	put(t, db, s, "main", "mine", "m")
	put(t, db, s, "main", "theirs", "t")
	for _, change := range []string{
		`UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'theirs') WHERE name = 'mine'`,
		`UPDATE secrets SET sealed = 'AAAA' || sealed WHERE name = 'mine'`,
		`UPDATE secrets SET sealed = 'not base64!' WHERE name = 'mine'`,
		`UPDATE secrets SET project = 'other' WHERE name = 'mine'`,
	} {
		undo := errors.New("undo")
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(change); err != nil {
				return err
			}
			for _, project := range []string{"main", "other"} {
				if v, err := s.Get(tx, project, "mine"); err == nil || (volvox.CodeOf(err) != volvox.Corrupt && volvox.CodeOf(err) != volvox.NotFound) {
					t.Errorf("%s: got %q, %v", change, v, err)
				}
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	db, keyFile := openDB(t, dir), filepath.Join(dir, "secret.key")
	s := openSecrets(t, db, keyFile)
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file: %v, %v", info.Mode(), err)
	}
	good, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".secret-key-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	put(t, db, s, "main", "a", "v")
	refused := func(what string, code volvox.Code) {
		t.Helper()
		_, err := secret.Open(t.Context(), db, keyFile)
		if volvox.CodeOf(err) != code || !strings.Contains(err.Error(), keyFile) || len(volvox.AsError(err).Try) == 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(keyFile, []byte(text), 0o600), os.Chmod(keyFile, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write(string(good), 0o640)
	refused("readable by the group", volvox.Denied)
	write(strings.Replace(string(good), " ", "  ", 1), 0o600) // harmless
	openSecrets(t, db, keyFile)
	write("", 0o600)
	refused("empty", volvox.Corrupt)
	i := len(good) - 10
	write(string(good[:i])+string(good[i]^1)+string(good[i+1:]), 0o600)
	refused("damaged", volvox.Corrupt)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	refused("missing", volvox.Corrupt)
	if _, err := os.Stat(keyFile); !errors.Is(err, os.ErrNotExist) {
		t.Error("a key file was made although the kernel has secrets")
	}
	otherDir := t.TempDir()
	openSecrets(t, openDB(t, otherDir), filepath.Join(otherDir, "secret.key"))
	other, err := os.ReadFile(filepath.Join(otherDir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	write(string(other), 0o600)
	refused("of another kernel", volvox.Corrupt)
	write(string(good), 0o600)
	if v, err := get(t, db, openSecrets(t, db, keyFile), "main", "a"); v != "v" || err != nil {
		t.Errorf("with the right file: %q, %v", v, err)
	}
}

// TestOneKeyIsMade opens the same new key file many times at once.
func TestOneKeyIsMade(t *testing.T) {
	dir := t.TempDir()
	db, keyFile := openDB(t, dir), filepath.Join(dir, "secret.key")
	const many = 8
	services := make(chan *secret.Service, many)
	for range many {
		go func() {
			s, err := secret.Open(context.Background(), db, keyFile)
			if err != nil {
				t.Error(err)
			}
			services <- s
		}()
	}
	first := <-services
	put(t, db, first, "main", "a", "v")
	for range many - 1 {
		if v, err := get(t, db, <-services, "main", "a"); v != "v" || err != nil {
			t.Errorf("another key: %q, %v", v, err)
		}
	}
}

func TestGenerate(t *testing.T) {
	text := regexp.MustCompile(`^[A-Za-z0-9]{32}$`)
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 1000 {
		p := secret.Generate()
		if !text.MatchString(p) || seen[p] {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
		for _, r := range p {
			letters[r]++
		}
	}
	if len(letters) != 62 {
		t.Errorf("%d letters and digits are used", len(letters))
	}
}

// TestKeyOfAnother has a key file that another user owns.
func TestKeyOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	db := openDB(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "secret.key")
	if _, err := secret.Open(t.Context(), db, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 5001, 5001); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Open(t.Context(), db, path); volvox.CodeOf(err) != volvox.Denied {
		t.Fatalf("want E_DENIED, got %v", err)
	}
}
