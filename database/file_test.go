package database

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/document"
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
name: till
project: other
engine: counter
version: 1.10
params: {}
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
		{Project: "other", Name: "till", Engine: "counter", Version: "1.10", Params: map[string]string{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseBadFile(t *testing.T) {
	head := "format: 1\nkind: cluster\nname: shop\nengine: counter\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "f.yaml: wishes for nothing: a document has the keys name and engine at least"},
		{"only comments", "# nothing\n---\n# still nothing\n", "f.yaml: wishes for nothing"},
		{"no YAML", "format: 1\n  kind: {", "f.yaml:"},
		{"a tab", head + "\tcpu: 1\n", "f.yaml:5:1: is not YAML"},
		{"a list", "- a\n- b\n", "f.yaml:1:1: is a list, must be a mapping"},
		{"a word", "shop\n", "f.yaml:1:1: is text, must be a mapping"},
		{"unknown key", head + "replica: 2\n", `f.yaml:5:1: unknown key "replica" (did you mean replicas?): allowed are cpu, engine, format,`},
		{"key of another kind", head + "spec:\n  a: 1\n", `f.yaml:5:1: unknown key "spec": allowed are`},
		{"key twice", head + "cpu: 1\ncpu: 2\n", "f.yaml:6:1:"},
		{"no name", "kind: cluster\nengine: counter\n", `f.yaml:1:1: "name" is missing`},
		{"nothing but a name", "name: shop\n", `f.yaml:1:1: "engine" is missing`},
		{"other format", "format: 2\nkind: cluster\nname: shop\nengine: counter\n", "f.yaml:1:9: format: is 2, must be 1, the format of this file; 1 is the only one"},
		{"format as text", "format: \"1\"\nkind: cluster\nname: shop\nengine: counter\n", `f.yaml:1:9: format: is "1", must be 1`},
		{"other kind", "format: 1\nkind: clutser\n", `f.yaml:2:7: kind: "clutser" is not allowed (did you mean cluster?): must be cluster`},
		{"bad name", "format: 1\nkind: cluster\nname: Shop_1\nengine: counter\n", `f.yaml:3:7: name: "Shop_1" cannot be the name of a database`},
		{"a number as name", "format: 1\nkind: cluster\nname: 1\nengine: counter\n", "f.yaml:3:7: name: is a number, must be text (write it in quotes)"},
		{"bad project", head + "project: \"\"\n", `f.yaml:5:10: project: "" cannot be the name of a project`},
		{"bad replicas", head + "replicas: two\n", "f.yaml:5:11: replicas: is text, must be a whole number"},
		{"no replicas", head + "replicas: 0\n", "f.yaml:5:11: replicas: is 0, must be at least 1"},
		{"too many replicas", fmt.Sprintf("%sreplicas: %d\n", head, mostReplicas+1), fmt.Sprintf("f.yaml:5:11: replicas: is %d, must be at most %d", mostReplicas+1, mostReplicas)},
		{"half a replica", head + "replicas: 1.5\n", "f.yaml:5:11: replicas: is a number, must be a whole number"},
		{"bad cpu", head + "cpu: much\n", `f.yaml:5:6: cpu: "much" is not an amount of CPU`},
		{"bad memory", head + "memory: 1Zi\n", `f.yaml:5:9: memory: "1Zi" is not an amount of bytes`},
		{"bad storage", head + "storage: -1Gi\n", `f.yaml:5:10: storage: "-1Gi" is not an amount of bytes`},
		{"a list as memory", head + "memory: [1]\n", "f.yaml:5:9: memory: is a list, must be a number or text, an amount of bytes such as 512Mi"},
		{"several", head + "cpu: much\nmemory: more\n---\nkind: cluster\n", "f.yaml:5:6: cpu: \"much\" is not an amount of CPU: an amount is a number of CPUs such as 2 or 0.5, or thousandths of one such as 500m, and more than zero\nf.yaml:6:9: memory: \"more\" is not"},
		{"empty value", head + "version:\n", "f.yaml:5:10: version: is empty, must be a number or text"},
		{"a list as a value", head + "version: [1]\n", "f.yaml:5:10: version: is a list, must be a number or text"},
		{"params as a list", head + "params: [a]\n", "f.yaml:5:9: params: is a list, must be a mapping"},
		{"a param as a mapping", head + "params:\n  a: {b: c}\n", "f.yaml:6:3: params.a: is a mapping, must be true or false, a number or text"},
		{"a param twice", head + "params:\n  a: 1\n  a: 2\n", "f.yaml:7:3:"},
		{"an anchor", head + "version: &v 1\n", "f.yaml:5:10: uses Anchor: write plain mappings, lists, text, numbers, true and false"},
		{"a name twice", head + "---\n" + head, "f.yaml:8:7: database shop is there twice, first on line 3"},
		{"too long", head + strings.Repeat("#", document.MaxBytes), "f.yaml: has 262195 bytes: at most 262144 are read"},
		{"too deep", strings.Repeat("[", 100_000), "f.yaml:1:65: is nested too deeply: at most 64 levels are read"},
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
