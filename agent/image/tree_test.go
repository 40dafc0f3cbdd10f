package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// planted makes a tree beside a directory with a file that must stay as it
// is, and returns a check of that.
func planted(t *testing.T) (tr *tree, root string, check func() error) {
	t.Helper()
	dir := t.TempDir()
	root = filepath.Join(dir, "rootfs")
	outside := filepath.Join(dir, "outside")
	for _, d := range []string{root, outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "file"), []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	tr, err := newTree(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.close() })
	return tr, root, func() error {
		b, err := os.ReadFile(filepath.Join(outside, "file"))
		entries, _ := os.ReadDir(outside)
		above, _ := os.ReadDir(dir)
		info, _ := os.Stat(filepath.Join(outside, "file"))
		if err != nil || string(b) != "safe" || len(entries) != 1 || len(above) != 2 || info.Mode() != 0o644 || links(t, filepath.Join(outside, "file")) != 1 {
			return errors.New("the world outside was changed")
		}
		return nil
	}
}

func TestHostileArchives(t *testing.T) {
	long := "a"
	for range 60 {
		long += "/a"
	}
	for _, c := range []struct {
		name   string
		files  []file
		unsafe bool     // refused
		there  []string // in the root afterwards
		absent []string
	}{
		{"dots", []file{{name: "../outside/file", text: "evil"}}, true, nil, nil},
		{"dots inside", []file{{name: "a/../../outside/file", text: "evil"}}, true, nil, nil},
		{"dots that stay inside", []file{{name: "a/../b", text: "evil"}}, true, nil, nil},
		{"absolute name", []file{{name: "/outside/file", text: "inside"}}, false, []string{"outside/file"}, nil},
		{"link to above, then through it", []file{{name: "out", link: "../outside"}, {name: "out/file", text: "evil"}, {name: "out/new", text: "evil"}}, false, []string{"outside/file"}, nil},
		{"link to above as the file", []file{{name: "file", link: "../outside/file"}, {name: "file", text: "inside"}}, false, []string{"file"}, nil},
		{"absolute link, then through it", []file{{name: "out", link: "OUTSIDE"}, {name: "out/file", text: "evil"}}, false, nil, nil},
		{"chain of links", []file{{name: "a", link: "b/../.."}, {name: "b", link: "."}, {name: "c", link: "a/outside"}, {name: "c/file", text: "evil"}}, false, nil, nil},
		{"circle of links", []file{{name: "a", link: "b"}, {name: "b", link: "a"}, {name: "a/x", text: "evil"}}, true, nil, nil},
		{"hard link to outside", []file{{name: "x", link: "../outside/file", kind: tar.TypeLink}}, true, nil, []string{"x"}},
		{"hard link to an absolute path", []file{{name: "x", link: "/etc/passwd", kind: tar.TypeLink}}, true, nil, []string{"x"}},
		{"hard link through a link", []file{{name: "out", link: "../outside"}, {name: "x", link: "out/file", kind: tar.TypeLink}, {name: "x", text: "evil"}}, true, nil, []string{"x"}},
		{"hard link to a directory", []file{{name: "d/", kind: tar.TypeDir, mode: 0o755}, {name: "x", link: "d", kind: tar.TypeLink}}, true, nil, []string{"x"}},
		{"hard link to a link to outside, then written", []file{{name: "l", link: "../outside/file"}, {name: "x", link: "l", kind: tar.TypeLink}, {name: "x", text: "inside"}}, false, []string{"x"}, nil},
		{"devices", []file{{name: "dev/sda", kind: tar.TypeBlock}, {name: "dev/null", kind: tar.TypeChar}, {name: "pipe", kind: tar.TypeFifo}}, false, nil, []string{"dev/sda", "dev/null", "pipe"}},
		{"file as a directory", []file{{name: "f", text: "x"}, {name: "f/g", text: "y"}}, true, []string{"f"}, nil},
		{"directory replaced by a link stays", []file{{name: "d/x", text: "x"}, {name: "d", link: "../outside"}, {name: "d/file", text: "inside"}}, false, []string{"d/x", "d/file"}, nil},
		{"very deep", []file{{name: long, text: "x"}}, false, []string{long}, nil},
		{"zero byte", []file{{name: "a", text: "x", kind: 'Q'}}, true, nil, nil},
		{"the root itself", []file{{name: "./", kind: tar.TypeDir, mode: 0}, {name: ".", link: "../outside"}, {name: "x", text: "x"}}, false, []string{"x"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, root, check := planted(t)
			for i := range c.files {
				if c.files[i].link == "OUTSIDE" {
					c.files[i].link = filepath.Join(filepath.Dir(root), "outside")
				}
			}
			err := tr.unpackTar(t.Context(), tar.NewReader(bytes.NewReader(tarOf(t, c.files...))), 0)
			if (err != nil) != c.unsafe {
				t.Errorf("unpacking gave %v", err)
			}
			if err := check(); err != nil {
				t.Error(err)
			}
			for _, name := range c.there {
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, name := range c.absent {
				if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is there (%v)", name, err)
				}
			}
		})
	}
}

// The check that the tests above rely on sees a file written outside.
func TestHostileCheckSees(t *testing.T) {
	_, root, check := planted(t)
	if err := check(); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(root, "../outside/file"), filepath.Join(root, "x")); err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("a hard link to outside was not seen")
	}
}

// Of two archives with the same file the one of the higher rank wins, in any
// order and at the same time.
func TestRanks(t *testing.T) {
	for range 20 {
		tr, root, _ := planted(t)
		var wg sync.WaitGroup
		for rank, text := range []string{"zero", "one", "two", "three"} {
			var files []file
			for _, name := range []string{"f", "d/f", "d/e/f", "l"} {
				f := file{name: name, text: text}
				if name == "l" && rank%2 == 0 {
					f = file{name: name, link: text}
				}
				files = append(files, f)
			}
			files = append(files, file{name: "d/", kind: tar.TypeDir, mode: int64(0o700 + rank)})
			archive := tarOf(t, files...)
			wg.Go(func() {
				if err := tr.unpackTar(context.Background(), tar.NewReader(bytes.NewReader(archive)), rank); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, name := range []string{"f", "d/f", "d/e/f", "l"} {
			if b, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(b) != "three" {
				t.Errorf("%s is %q, %v", name, b, err)
			}
		}
		if info, err := os.Stat(filepath.Join(root, "d")); err != nil || info.Mode().Perm() != 0o703 {
			t.Errorf("mode of d is %v, %v", info.Mode(), err)
		}
	}
}

// Whatever an archive is, unpacking it neither panics nor leaves the root.
func FuzzUnpackDeb(f *testing.F) {
	f.Add(debOf(f, file{name: "./a/b", text: "x"}, file{name: "l", link: "../.."}))
	f.Add([]byte("!<arch>\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		tr, err := newTree(root)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.close()
		_ = tr.unpackDeb(t.Context(), bytes.NewReader(b), 0)
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("there is more than the root: %v", entries)
		}
	})
}

func links(t *testing.T, name string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Nlink) //nolint:unconvert // it has another type on other architectures
}
