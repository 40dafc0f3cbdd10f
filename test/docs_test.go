package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
)

var sqlCommand = regexp.MustCompile(`volvox sql (--as-of \S+ )?"((?:[^"\\]|\\")+)"`)

// TestDocs runs every SQL command that the documentation and the explanations
// of errors show, and plans the examples.
func TestDocs(t *testing.T) {
	t.Parallel()
	c := newComputer(t).boot()
	files, err := filepath.Glob("../docs/*/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documentation: %v", err)
	}
	text := ""
	for _, f := range append(files, "../README.md") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, d := range volvox.Codes() {
		text += d.Try + "\n"
	}
	commands := sqlCommand.FindAllStringSubmatch(text, -1)
	if len(commands) < 5 {
		t.Errorf("only %d commands found", len(commands))
	}
	for _, m := range commands {
		query := strings.ReplaceAll(m[2], `\"`, `"`)
		if strings.Contains(query, "…") {
			continue
		}
		// A new computer has no past to ask about, but its present is the same tables.
		if out, errs, code := c.try("sql", query); code != 0 {
			t.Errorf("volvox sql %q: exit %d\n%s%s", query, code, out, errs)
		}
	}
	c.must("apply", "--plan", "-f", "../examples/shop.yaml")
}
