package addon_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/document"
)

var update = flag.Bool("update", false, "write what is found as what is expected")

// TestBad changes the addon testdata/small and compares what Load says with
// testdata/bad/*.txt. A case is a few lines
//
//	change FILE: OLD => NEW
//	write FILE: TEXT
//	remove FILE
//
// then ---- and the faults, up to an empty line. \n is a new line.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				out = append(out, runCase(t, block))
			}
			got := strings.Join(out, "\n\n") + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// runCase returns the case with what Load said.
func runCase(t *testing.T, block string) string {
	t.Helper()
	commands, want, isCase := strings.Cut(block, "----")
	if !isCase {
		return block
	}
	dir := copyOf(t, "testdata/small")
	for line := range strings.SplitSeq(strings.TrimSpace(commands), "\n") {
		if !strings.HasPrefix(line, "#") {
			change(t, dir, line)
		}
	}
	_, err := addon.LoadAll(under(t, "small", dir))
	if err == nil {
		t.Fatalf("accepted:\n%s", commands)
	}
	var faults []string
	for line := range strings.SplitSeq(volvox.AsError(err).Cause(), "\n") {
		faults = append(faults, strings.TrimSpace(line))
	}
	got := strings.Join(faults, "\n")
	if code := volvox.CodeOf(err); code != volvox.BadFile {
		t.Errorf("code %s for\n%s", code, commands)
	}
	var fault *document.Fault
	if !errors.As(err, &fault) {
		t.Errorf("no fault in the error for\n%s", commands)
	}
	if got != strings.TrimSpace(want) && !*update {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", commands, got, strings.TrimSpace(want))
	}
	return commands + "----\n" + got
}

// change carries out one line of a case.
func change(t *testing.T, dir fstest.MapFS, line string) {
	t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	file, arg, _ := strings.Cut(rest, ": ")
	arg = strings.ReplaceAll(arg, `\n`, "\n")
	switch verb {
	case "remove":
		delete(dir, file)
	case "write":
		dir[strings.TrimSuffix(file, ":")] = &fstest.MapFile{Data: []byte(arg)}
	case "change":
		old, new, _ := strings.Cut(arg+" ", " => ")
		new = strings.TrimSuffix(new, " ")
		if dir[file] == nil || !strings.Contains(string(dir[file].Data), old) {
			t.Fatalf("%s has no %q", file, old)
		}
		dir[file] = &fstest.MapFile{Data: []byte(strings.Replace(string(dir[file].Data), old, new, 1))}
	default:
		t.Fatalf("unknown line %q", line)
	}
}

// copyOf reads a directory into memory.
func copyOf(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		m[path] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// under puts a directory below a name.
func under(t testing.TB, name string, dir fstest.MapFS) fs.FS {
	t.Helper()
	m := fstest.MapFS{}
	for path, file := range dir {
		m[name+"/"+path] = file
	}
	if len(m) == 0 {
		t.Fatal("nothing left")
	}
	return m
}
