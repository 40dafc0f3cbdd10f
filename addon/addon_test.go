package addon_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/addons"
	"github.com/volvox-os/volvox/document"
)

// loadAll loads what Volvox ships with and the engine of the tests.
func loadAll(t testing.TB) []*addon.Addon {
	t.Helper()
	all, err := addon.LoadAll(addons.FS)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, load(t, "testdata/counter"))
}

func load(t testing.TB, dir string) *addon.Addon {
	t.Helper()
	a, err := addon.Load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLoad(t *testing.T) {
	names := map[string]bool{}
	for _, a := range loadAll(t) {
		names[a.Name] = true
		if a.Conformance == nil {
			t.Errorf("%s has no workload for the generic tests", a.Name)
		}
		for _, topology := range []string{"standalone", "replication"} {
			if _, err := a.Topology(topology, 0); err != nil {
				t.Error(err)
			}
		}
		for name, c := range a.Components {
			if c.Admin().User == "" || len(c.Params) < 4 || c.Defaults.MemoryBytes == 0 {
				t.Errorf("%s/%s is incomplete: %+v", a.Name, name, c)
			}
		}
	}
	if len(names) != 3 {
		t.Errorf("loaded %v", names)
	}
}

// One addon that cannot be used does not take the others with it.
func TestLoadAllKeepsTheGood(t *testing.T) {
	root := fstest.MapFS{"bad/addon.yaml": {Data: []byte("format: 1\n")}, "file": {Data: []byte("no directory")}}
	for path, file := range copyOf(t, "testdata/small") {
		root["small/"+path] = file
	}
	all, err := addon.LoadAll(root)
	if len(all) != 1 || all[0].Name != "small" {
		t.Errorf("loaded %v", all)
	}
	if volvox.CodeOf(err) != volvox.BadFile || !strings.Contains(err.Error(), "the addon bad has") {
		t.Errorf("error %v", err)
	}
}

// Scripts are short, POSIX sh, and say what they are.
func TestScripts(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Log("shellcheck is not installed; sh -n alone looks at the scripts")
	}
	for name, root := range map[string]fs.FS{"addons": addons.FS, "testdata": os.DirFS("testdata")} {
		scripts, err := fs.Glob(root, "*/scripts/*.sh")
		if err != nil || len(scripts) == 0 {
			t.Fatal("no scripts: ", err)
		}
		for _, script := range scripts {
			text, err := fs.ReadFile(root, script)
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(string(text), "\n"); lines >= 60 {
				t.Errorf("%s/%s has %d lines, must have less than 60", name, script, lines)
			}
			what := strings.TrimSuffix(path.Base(script), ".sh")
			if !strings.HasPrefix(string(text), "#!/bin/sh\n# "+what) {
				t.Errorf("%s/%s does not begin with its name and purpose", name, script)
			}
			checks := [][]string{{"sh", "-n"}}
			if shellcheck != "" {
				checks = append(checks, []string{shellcheck, "--shell=sh", "--exclude=SC1091,SC2154", "-"})
			}
			for _, args := range checks {
				check := exec.Command(args[0], args[1:]...)
				check.Stdin = strings.NewReader(string(text))
				if out, err := check.CombinedOutput(); err != nil {
					t.Errorf("%s/%s: %s: %v\n%s", name, script, args[0], err, out)
				}
			}
		}
	}
}

func TestVersion(t *testing.T) {
	a := load(t, "testdata/small")
	for name, want := range map[string]string{"": "1", "1": "1", "2": "2"} {
		if v, err := a.Version(name); err != nil || v.Name != want {
			t.Errorf("Version(%q) is %v, %v", name, v, err)
		}
	}
	_, err := a.Version("3")
	if volvox.CodeOf(err) != volvox.UnknownVersion || !strings.Contains(err.Error(), "there are 1, 2") {
		t.Errorf("Version(3): %v", err)
	}
}

func TestTopology(t *testing.T) {
	a := load(t, "testdata/small")
	for _, c := range []struct {
		name     string
		replicas int
		want     string
		says     string
	}{
		{"", 0, "alone", ""},
		{"", 1, "alone", ""},
		{"", 2, "group", ""},
		{"", 5, "group", ""},
		{"group", 0, "group", ""},
		{"group", 3, "group", ""},
		{"", 6, "", "small cannot have 6 members: alone has 1 member, group has 2 to 5 members"},
		{"alone", 2, "", "small cannot have 2 members in the topology alone: alone has 1 member, group has 2 to 5 members"},
		{"group", 1, "", "small cannot have 1 member in the topology group: alone has 1 member, group has 2 to 5 members"},
		{"groop", 2, "", `small has no topology "groop" (did you mean group?): alone has 1 member, group has 2 to 5 members`},
	} {
		got, err := a.Topology(c.name, c.replicas)
		switch {
		case c.says == "" && (err != nil || got.Name != c.want):
			t.Errorf("Topology(%q, %d) is %v, %v", c.name, c.replicas, got.Name, err)
		case c.says != "" && (volvox.CodeOf(err) != volvox.UnknownTopology || err.Error() != c.says):
			t.Errorf("Topology(%q, %d): %v", c.name, c.replicas, err)
		}
	}
}

// TestRender compares the specs of first members with testdata/render.
func TestRender(t *testing.T) {
	for _, a := range append(loadAll(t), load(t, "testdata/small")) {
		version, err := a.Version("")
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range a.Components {
			v := addon.Values{
				Cluster: "shop", Project: "main", Member: "shop-" + name + "-0", Replicas: 2,
				CPUMillis: c.Defaults.CPUMillis, MemoryBytes: c.Defaults.MemoryBytes, StorageBytes: c.Defaults.StorageBytes,
			}
			if v.Params, err = c.Parameters(nil, v); err != nil {
				t.Fatal(err)
			}
			spec, err := c.Render(a, version, v)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range spec.Files {
				if strings.HasPrefix(f.Path, "/scripts/") {
					spec.Files[i].Content = "…"
				}
			}
			text, err := json.MarshalIndent(spec, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			again, err := c.Render(a, version, v)
			if err != nil || len(again.Files) != len(spec.Files) || again.Files[len(again.Files)-1].Content == "…" {
				t.Errorf("a changed spec changed the addon")
			}
			compare(t, filepath.Join("testdata/render", a.Name+"-"+name+".json"), string(text)+"\n")
		}
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what was rendered (run with -update to accept):\n%s", file, got)
	}
}

// FuzzLoad puts mutated files into an addon: Load refuses them or takes them,
// and never panics. Minimizing takes very long here: run it with
// -fuzzminimizetime=10x.
func FuzzLoad(f *testing.F) {
	small := copyOf(f, "testdata/small")
	files := []string{"addon.yaml", "components/db.yaml", "params/db.yaml", "conformance.yaml", "configs/db.conf.tmpl"}
	for i, file := range files {
		f.Add(i, string(small[file].Data))
	}
	f.Add(0, "a: &a [*a]\n<<: *a")
	f.Add(1, "? [x]\n: y\n")
	f.Add(2, "x: !!binary |\n  aGk=\n")
	f.Fuzz(func(t *testing.T, which int, text string) {
		dir := fstest.MapFS{}
		for path, file := range small {
			dir[path] = file
		}
		dir[files[uint(which)%uint(len(files))]] = &fstest.MapFile{Data: []byte(text)}
		a, err := addon.Load(dir)
		if err == nil {
			for _, c := range a.Components {
				_, _ = c.Parameters(nil, addon.Values{CPUMillis: 1000, MemoryBytes: 1 << 28, StorageBytes: 1 << 30, Replicas: 1})
			}
			return
		}
		var fault *document.Fault
		if !errors.As(err, &fault) {
			t.Errorf("no fault in %v", err)
		}
	})
}
