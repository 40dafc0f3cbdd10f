package addon_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/volvox-os/volvox/addon"
)

const reference = "../docs/reference/addon.md"

// The example in the reference is an addon that loads.
func TestReferenceExample(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	dir := fstest.MapFS{}
	for _, m := range regexp.MustCompile("(?ms)^```[a-z]+ (\\S+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		dir[m[1]] = &fstest.MapFile{Data: []byte(m[2])}
	}
	if len(dir) < 6 {
		t.Fatalf("the reference has %d files", len(dir))
	}
	if _, err := addon.Load(dir); err != nil {
		t.Error(err)
	}
}

// Every key that a schema allows stands in the reference.
func TestReferenceKeys(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := filepath.Glob("schema/*.json")
	if err != nil || len(schemas) != 4 {
		t.Fatal(schemas, err)
	}
	for _, file := range schemas {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var schema any
		if err := json.Unmarshal(raw, &schema); err != nil {
			t.Fatal(err)
		}
		keys := keysOf(schema, nil)
		if len(keys) < 5 {
			t.Errorf("%s allows only %v", file, keys)
		}
		for _, key := range keys {
			if !strings.Contains(string(text), "`"+key+"`") {
				t.Errorf("the reference does not describe %s of %s", key, file)
			}
		}
	}
}

// keysOf collects the names below "properties" of a schema.
func keysOf(schema any, keys []string) []string {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			keys = keysOf(v, keys)
		}
	case map[string]any:
		for name, v := range s {
			if properties, ok := v.(map[string]any); ok && name == "properties" {
				for key := range properties {
					keys = append(keys, key)
				}
			}
			keys = keysOf(v, keys)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
