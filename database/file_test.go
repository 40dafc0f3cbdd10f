package database

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/volvox-os/volvox"
)

func TestParseFile(t *testing.T) {
	text := `
# two databases
format: 1
kind: cluster
name: shop
engine: counter
version: "1"          # a text that looks like a number
topology: replication
replicas: 2
cpu: 500m
memory: 1Gi
storage: 10Gi
params:
  step: 2
  noisy: on
  motto: "count: on"
---
format: "1"
kind: cluster
name: till
project: other
engine: counter
version: 1
---
# nothing
`
	got, err := ParseFile("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Wish{
		{Name: "shop", Engine: "counter", Version: "1", Topology: "replication", Replicas: 2, CPUMillis: 500,
			MemoryBytes: 1 << 30, StorageBytes: 10 << 30, Params: map[string]string{"step": "2", "noisy": "on", "motto": "count: on"}},
		{Project: "other", Name: "till", Engine: "counter", Version: "1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseBadFile(t *testing.T) {
	head := "format: 1\nkind: cluster\nname: shop\nengine: counter\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "f.yaml: the file wishes for nothing; a document has the keys format, kind, project, name"},
		{"only comments", "# nothing\n---\n# still nothing\n", "f.yaml: the file wishes for nothing"},
		{"no YAML", "format: 1\n  kind: {", "f.yaml:"},
		{"a tab", head + "\tcpu: 1\n", "f.yaml:5:1: this is not YAML"},
		{"a list", "- a\n- b\n", "f.yaml:1:1: a document is a list of keys and values, not sequence"},
		{"a word", "shop\n", "f.yaml:1:1: a document is a list of keys and values, not string"},
		{"unknown key", head + "replica: 2\n", `f.yaml:5:1: there is no key "replica" (did you mean replicas?); allowed are format, kind,`},
		{"key of another kind", head + "spec:\n  a: 1\n", `f.yaml:5:1: there is no key "spec"; allowed are`},
		{"key twice", head + "cpu: 1\ncpu: 2\n", "f.yaml:6:1:"},
		{"no format", "kind: cluster\nname: shop\nengine: counter\n", "format: 1 is missing"},
		{"no kind", "format: 1\nname: shop\nengine: counter\n", "kind: cluster is missing"},
		{"no name", "format: 1\nkind: cluster\nengine: counter\n", "the key name is missing"},
		{"no engine", "format: 1\nkind: cluster\nname: shop\n", "the key engine is missing"},
		{"other format", "format: 2\nkind: cluster\nname: shop\nengine: counter\n", "f.yaml:1:9: format 2 is not known; this version of Volvox reads format 1"},
		{"other kind", "format: 1\nkind: function\n", "f.yaml:2:7: kind function is not known; allowed is cluster"},
		{"bad name", "format: 1\nkind: cluster\nname: Shop_1\nengine: counter\n", `f.yaml:3:7: name: "Shop_1" cannot be the name of a database`},
		{"bad replicas", head + "replicas: two\n", "f.yaml:5:11: replicas is a whole number from 1 to 99, not two"},
		{"no replicas", head + "replicas: 0\n", "f.yaml:5:11: replicas is a whole number from 1 to 99, not 0"},
		{"half a replica", head + "replicas: 1.5\n", "f.yaml:5:11: replicas is a whole number from 1 to 99, not 1.5"},
		{"bad cpu", head + "cpu: much\n", `f.yaml:5:6: cpu: "much" is not an amount of CPU`},
		{"bad memory", head + "memory: 1Zi\n", `f.yaml:5:9: memory: "1Zi" is not an amount of bytes`},
		{"bad storage", head + "storage: -1Gi\n", `f.yaml:5:10: storage: "-1Gi" is not an amount of bytes`},
		{"empty value", head + "version:\n", "f.yaml:5:1: version has no value"},
		{"a list as a value", head + "version: [1]\n", "f.yaml:5:10: the value of version is one word or number, not sequence"},
		{"params as a list", head + "params: [a]\n", "f.yaml:5:9: params is a list of keys and values, not sequence"},
		{"a param as a mapping", head + "params:\n  a: {b: c}\n", "the value of a is one word or number, not"},
		{"a param twice", head + "params:\n  a: 1\n  a: 2\n", "f.yaml:7:3:"},
		{"an anchor", head + "version: &v 1\n", "f.yaml:5:10: the value of version is one word or number, not anchor"},
		{"a name twice", head + "---\n" + head, "f.yaml:8:7: database shop is there twice, first on line 3"},
		{"too long", head + strings.Repeat("#", maxFile), "f.yaml: the file is larger than 256Ki"},
		{"too deep", strings.Repeat("[", 100_000), "f.yaml:1:33: this is nested too deeply"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wishes, err := ParseFile("f.yaml", []byte(tc.text))
			if volvox.CodeOf(err) != volvox.BadFile || wishes != nil {
				t.Fatalf("got %v, %v, want %s", wishes, err, volvox.BadFile)
			}
			if cause := volvox.AsError(err).Cause(); !strings.Contains(cause, tc.want) {
				t.Errorf("the cause is %q, want %q in it", cause, tc.want)
			}
		})
	}
}

// Whatever the text is, it is read or refused with a place in the file.
func TestParseAnyFile(t *testing.T) {
	pieces := []string{"format: 1\n", "kind: cluster\n", "name: shop\n", "engine: counter\n", "params:\n", "  a: 1\n", "---\n", "cpu: ", "{", "}", "[", "]", "&a", "*a", "!!x", "|", ">", "'", "\"", ":", "-", "\t", " ", "\n", "\x00", "é", "? ", "<<: ", "%YAML"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(t, "text"), "")
		wishes, err := ParseFile("f.yaml", []byte(text))
		if err != nil && (volvox.CodeOf(err) != volvox.BadFile || !strings.HasPrefix(volvox.AsError(err).Cause(), "f.yaml:")) {
			t.Fatalf("%q: %v", text, err)
		}
		for _, w := range wishes {
			if w.Name == "" || w.Engine == "" {
				t.Fatalf("%q is read as %+v", text, w)
			}
		}
	})
}
