package document

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

func TestDocument(t *testing.T) {
	var faults Faults
	all := Parse("f.yaml", []byte("# first\na: 1.10\nb:\n  - x: 0x10\n    y: on\n  - true\n---\n---\nc: |\n  two\n  lines\n"), &faults)
	if err := faults.Err(); err != nil || len(all) != 2 {
		t.Fatal(len(all), err)
	}
	d := all[0]
	for _, tc := range []struct {
		path Path
		text string
		at   Position
	}{
		{nil, "", Position{2, 1}},
		{Path{"a"}, "1.10", Position{2, 4}},
		{Path{"b"}, "", Position{4, 3}},
		{Path{"b", "0", "x"}, "0x10", Position{4, 8}},
		{Path{"b", "0", "y"}, "on", Position{5, 8}},
		{Path{"b", "1"}, "true", Position{6, 5}},
		{Path{"b", "0", "z"}, "", Position{4, 5}}, // the nearest thing around it
	} {
		if d.Text(tc.path...) != tc.text || d.At(tc.path...) != tc.at {
			t.Errorf("%s%q at %v, want %q at %v", tc.path.Label(), d.Text(tc.path...), d.At(tc.path...), tc.text, tc.at)
		}
	}
	if d.KeyAt("b", "0", "x") != (Position{4, 5}) || !d.Has("b", "1") || d.Has("b", "2") {
		t.Error(d.KeyAt("b", "0", "x"), d.Has("b", "1"), d.Has("b", "2"))
	}
	var into struct{ C string }
	if err := all[1].Decode(&into); err != nil || into.C != "two\nlines\n" {
		t.Errorf("%q, %v", into.C, err)
	}
}

// No document is lost behind an empty one.
func TestEmptyDocuments(t *testing.T) {
	for _, between := range []string{"---", "---\n---", "---\n\n---", "---\n# nothing\n---", "---\n---\n# nothing\n---\n", "...\n---", "---\nnull\n---", "--- # x\n---"} {
		text := "---\na: 1\n" + between + "\nb: 2\n" + between + "\nc: 3\n---\n"
		var faults Faults
		all := Parse("f", []byte(text), &faults)
		if len(all) != 3 || all[1].Text("b") != "2" || all[2].Text("c") != "3" || faults.Len() > 0 {
			t.Errorf("%q: %d documents, %v", text, len(all), faults.Err())
		}
	}
}

func TestFaultsAreInOrderAndOnce(t *testing.T) {
	var fs Faults
	if fs.Err() != nil {
		t.Error("nothing is a fault")
	}
	fs.Add("b", Position{2, 1}, "late")
	fs.Add("b", Position{1, 5}, "early")
	fs.Add("b", Position{2, 1}, "late")
	fs.Add("a", Position{}, "the %s", "file")
	var first *Fault
	if err := fs.Err(); fs.Len() != 3 || err.Error() != "a: the file\nb:1:5: early\nb:2:1: late" || !errors.As(err, &first) || first.File != "a" {
		t.Error(fs.Len(), err)
	}
}

func TestSchemas(t *testing.T) {
	schemas, err := ReadSchemas(fstest.MapFS{"schema/s.json": {Data: []byte(`{"type": "object", "additionalProperties": false,
		"properties": {"one": {"type": "integer", "maximum": 3}, "two": {"type": ["string", "number"]}}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"one: 2\ntwo: x": "",
		"one: 4":         "f:1:6: one: is 4, must be at most 3",
		"two: []\non: 1": "f:1:6: two: is a list, must be a number or text\nf:2:1: unknown key \"on\" (did you mean one?): allowed are one, two",
		"one: 1e999":     "f:1:6: one: is text, must be a whole number",
	} {
		var faults Faults
		for _, d := range Parse("f", []byte(text), &faults) {
			if ok := schemas.Check("s.json", d, &faults); ok != (want == "") {
				t.Errorf("%s: %v", text, ok)
			}
		}
		got := ""
		if err := faults.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want)
		}
	}
	for name, text := range map[string]string{"no JSON": "{", "no schema": `{"type": "thing"}`} {
		if _, err := ReadSchemas(fstest.MapFS{"schema/s.json": {Data: []byte(text)}}); err == nil {
			t.Error(name, "was taken")
		}
	}
}

// Whatever the text is, it is read or refused with a fault.
func TestParseAnything(t *testing.T) {
	pieces := []string{"a: 1\n", "b:\n", "  - c\n", "---\n", "{", "}", "[", "]", "&a", "*a", "!!x", "|", ">", "'", "\"", ":", "-", "\t", " ", "\n", "\x00", "é", "? ", "<<: ", "%YAML", "1e999", ".inf"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(t, "text"), "")
		var faults Faults
		for _, d := range Parse("f", []byte(text), &faults) {
			if faults.Len() > 0 {
				t.Fatalf("%q is read in spite of %v", text, faults.Err())
			}
			var into any
			if err := d.Decode(&into); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
