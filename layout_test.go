package volvox_test

import (
	"os"
	"path/filepath"
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
