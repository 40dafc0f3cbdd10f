package volvox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
)

func TestLayoutFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	direct, err := volvox.LayoutOf(filepath.Join(dir, "real", "later"))
	if err != nil {
		t.Fatal(err)
	}
	linked, err := volvox.LayoutOf(filepath.Join(dir, "link", "later"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := volvox.LayoutOf(filepath.Join(dir, "real", "else"))
	if direct != linked || direct.ID == other.ID || len(direct.ID) != 6 {
		t.Errorf("direct %+v, linked %+v, other %+v", direct, linked, other)
	}
	if len(direct.APISocket()) > 100 {
		t.Errorf("%s is too long for a socket", direct.APISocket())
	}
}

// TestMade: a directory is a computer's by what only a computer leaves there.
func TestMade(t *testing.T) {
	for file, want := range map[string]struct {
		text string
		made bool
	}{
		"kernel.db":  {"", true},
		"secret.key": {"", true},
		"lock":       {"4711\n", true},
		"lock ":      {"", false},
		"images":     {"", false},
	} {
		l, err := volvox.LayoutOf(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if l.Made() {
			t.Fatal("an empty directory is a computer's")
		}
		if err := os.WriteFile(filepath.Join(l.Data, strings.TrimSpace(file)), []byte(want.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l.Made() != want.made {
			t.Errorf("with %s of %q: %v", file, want.text, l.Made())
		}
	}
}
