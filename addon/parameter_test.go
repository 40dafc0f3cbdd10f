package addon_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
)

func small(memory int64) (*addon.Component, addon.Values, error) {
	a, err := addon.Load(os.DirFS("testdata/small"))
	if err != nil {
		return nil, addon.Values{}, err
	}
	return a.Components["db"], addon.Values{CPUMillis: 500, MemoryBytes: memory, StorageBytes: 1 << 30, Replicas: 3}, nil
}

func TestParameterDefaults(t *testing.T) {
	for _, c := range []struct {
		memory int64
		buffer string
	}{{64 << 20, "16777216"}, {1 << 20, "1048576"}, {1 << 45, "1099511627776"}} {
		db, v, err := small(c.memory)
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.Parameters(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"buffer": c.buffer, "level": "low", "limit": "30000", "name": "", "ratio": "0.5", "sessions": "30", "strict": "true",
		}
		if !maps.Equal(got, want) {
			t.Errorf("with %d bytes: %v, want %v", c.memory, got, want)
		}
	}
}

func TestParameters(t *testing.T) {
	db, v, err := small(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ set, want string }{
		{"buffer=2MB", "2097152"},
		{"buffer=2Mi", "2097152"},
		{"buffer=2 mib", "2097152"},
		{"buffer=1048576", "1048576"},
		{"limit=500", "500"},
		{"limit=2min", "120000"},
		{"limit=-1", "-1"},
		{"ratio=.25", "0.25"},
		{"ratio=1e-3", "0.001"},
		{"level=high", "high"},
		{"name=o'b", "o'b"},
		{"strict=off", "false"},
		{"strict=YES", "true"},
		{"sessions=7", "7"},

		{"bufer=2MB", `E_UNKNOWN_PARAMETER there is no parameter "bufer" (did you mean buffer?): the parameters are buffer, level, limit, name, ratio, sessions, strict`},
		{"buffer=1kB", `E_BAD_PARAMETER the parameter buffer cannot be "1kB": it must be a size such as 64MB, at least 1MB, at most 1TB`},
		{"buffer=40MB", `E_BAD_PARAMETER the parameter buffer cannot be "40MB": for a member of this size it must be at most 32MB, which is memory_bytes / 2`},
		{"buffer=99999999999TB", `E_BAD_PARAMETER the parameter buffer cannot be "99999999999TB": it must be a size such as 64MB, at least 1MB, at most 1TB`},
		{"buffer=lots", `E_BAD_PARAMETER the parameter buffer cannot be "lots": it must be a size such as 64MB, at least 1MB, at most 1TB`},
		{"limit=2h", `E_BAD_PARAMETER the parameter limit cannot be "2h": it must be a duration such as 30s, at least -1, at most 1h`},
		{"ratio=nan", `E_BAD_PARAMETER the parameter ratio cannot be "nan": it must be a number, at least 0, at most 1`},
		{"ratio=1.01", `E_BAD_PARAMETER the parameter ratio cannot be "1.01": it must be a number, at least 0, at most 1`},
		{"level=middle", `E_BAD_PARAMETER the parameter level cannot be "middle": it must be low or high`},
		{"name=Bob", `E_BAD_PARAMETER the parameter name cannot be "Bob": it must be text, at most 8 characters that matches ^[a-z']*$`},
		{"name=a\nb", `E_BAD_PARAMETER the parameter name cannot be "a\nb": it must be one line of text without control characters`},
		{"strict=maybe", `E_BAD_PARAMETER the parameter strict cannot be "maybe": it must be true or false`},
		{"sessions=7MB", `E_BAD_PARAMETER the parameter sessions cannot be "7MB": it must be a whole number, at least 1, at most 100`},
		{"sessions=", `E_BAD_PARAMETER the parameter sessions cannot be "": it must be a whole number, at least 1, at most 100`},
	} {
		name, value, _ := strings.Cut(c.set, "=")
		all, err := db.Parameters(map[string]string{name: value}, v)
		got := all[name]
		if err != nil {
			got = string(volvox.CodeOf(err)) + " " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.set, got, c.want)
		}
	}
}

// Names come sorted, and each has what the tables show of it.
func TestParameterDocs(t *testing.T) {
	for _, a := range loadAll(t) {
		for _, c := range a.Components {
			if !slices.IsSortedFunc(c.Params, func(a, b addon.Parameter) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("%s: not sorted", a.Name)
			}
			for _, p := range c.Params {
				if p.Doc == "" || p.Allowed == "" || p.Default == "" || p.Apply == "" || len(p.Schema) == 0 {
					t.Errorf("%s: %+v is incomplete", a.Name, p)
				}
			}
		}
	}
}

// Every size that a person may ask for gives defaults that are allowed.
func TestDefaultsOfAllSizes(t *testing.T) {
	for _, a := range loadAll(t) {
		for _, c := range a.Components {
			for memory := int64(16 << 20); memory <= 1<<42; memory *= 4 {
				for storage := int64(16 << 20); storage <= 1<<46; storage *= 16 {
					v := addon.Values{CPUMillis: memory >> 20, MemoryBytes: memory, StorageBytes: storage, Replicas: 9}
					first, err := c.Parameters(nil, v)
					if err != nil {
						t.Fatalf("%s with %d bytes of memory, %d of storage: %v", a.Name, memory, storage, err)
					}
					if memory < c.Defaults.MemoryBytes || storage < c.Defaults.StorageBytes {
						continue
					}
					if again, err := c.Parameters(first, v); err != nil || !maps.Equal(first, again) {
						t.Errorf("%s: its own defaults are not accepted: %v", a.Name, err)
					}
				}
			}
		}
	}
}

// A limit is told in a size that people read, and that is allowed.
func TestShownLimit(t *testing.T) {
	for memory, want := range map[int64]string{2 * 241591910: "at most 230MB,", 64 << 20: "at most 32MB,", 329638738328: "at most 157183MB,", 5 << 20: "at most 2560kB,"} {
		db, v, err := small(memory)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Parameters(map[string]string{"buffer": "1TB"}, v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %d bytes: %v, want %s", memory, err, want)
		}
		shown := strings.TrimSuffix(strings.TrimPrefix(want, "at most "), ",")
		if _, err := db.Parameters(map[string]string{"buffer": shown}, v); err != nil {
			t.Errorf("with %d bytes %s is refused: %v", memory, shown, err)
		}
	}
}
