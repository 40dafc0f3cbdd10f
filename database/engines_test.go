package database

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// engineWords are words that only somebody who knows an engine writes.
var engineWords = regexp.MustCompile(`(?i)postgres|psql|pg_|\bpg\b|\bpg-|-pg-|redis|valkey|mysql|mariadb|mongo|etcd|kafka|rabbitmq|clickhouse|sqlite`)

// namesEngine returns the lines that name an engine. The name of the package
// that keeps the kernel is no engine's.
func namesEngine(text string) (lines []string) {
	for n, line := range strings.Split(text, "\n") {
		if found := engineWords.FindString(line); found != "" {
			lines = append(lines, fmt.Sprintf("%d: %s", n+1, strings.TrimSpace(line)))
		}
	}
	return lines
}

// The core knows no engine: no Go code of it names one, comments included.
func TestNoEngineInTheCore(t *testing.T) {
	checked := 0
	for _, dir := range []string{"database", "addon", "backup", "agent", "scheduler"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d os.DirEntry, err error) error {
			switch {
			case os.IsNotExist(err):
				return nil
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "testdata":
				return filepath.SkipDir
			case d.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(path)
			checked++
			for _, line := range namesEngine(string(text)) {
				t.Errorf("%s:%s", path, line)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if checked < 20 {
		t.Errorf("only %d files were found", checked)
	}
}

func TestEngineWordsAreFound(t *testing.T) {
	for _, line := range []string{"// works with PostgreSQL", `"redis-cli"`, "name: shop-pg-0", "pg_basebackup", `run("psql")`, "// as MariaDB does"} {
		if len(namesEngine(line)) == 0 {
			t.Errorf("%q is not found", line)
		}
	}
	for _, line := range []string{"// the engine's own words", "upgrade", "pages", "a page", "rpg"} {
		if found := namesEngine(line); len(found) > 0 {
			t.Errorf("%q is found", line)
		}
	}
}
