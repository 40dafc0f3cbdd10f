package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBadInput gives the computer what is wrong: one clear error each, with
// its code and exit code, and nothing half-created.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "taken", "--engine", "counter")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("kind: cluster\nname: x\nengine: counter\nreplcas: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("kind: [cluster\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code string
		exit int
	}{
		{"engine", []string{"db", "create", "x", "--engine", "postgres"}, "E_UNKNOWN_ENGINE", 3},
		{"version", []string{"db", "create", "x", "--engine", "postgresql", "--version", "9"}, "E_UNKNOWN_VERSION", 3},
		{"parameter", []string{"db", "create", "x", "--engine", "postgresql", "--param", "max_connection=5"}, "E_UNKNOWN_PARAMETER", 2},
		{"value", []string{"db", "create", "x", "--engine", "postgresql", "--param", "max_connections=many"}, "E_BAD_PARAMETER", 2},
		{"topology", []string{"db", "create", "x", "--engine", "counter", "--topology", "ring"}, "E_UNKNOWN_TOPOLOGY", 2},
		{"name", []string{"db", "create", "Shop", "--engine", "counter"}, "E_BAD_NAME", 2},
		{"taken", []string{"db", "create", "taken", "--engine", "counter"}, "E_EXISTS", 5},
		{"memory", []string{"db", "create", "x", "--engine", "counter", "--memory", "100Ti"}, "E_NO_MEMORY", 6},
		{"cpu", []string{"db", "create", "x", "--engine", "counter", "--cpu", "5000"}, "E_NO_CPU", 6},
		{"storage", []string{"db", "create", "x", "--engine", "counter", "--storage", "9000Ti"}, "E_NO_STORAGE", 6},
		{"amount", []string{"db", "create", "x", "--engine", "counter", "--memory", "lots"}, "E_BAD_INPUT", 2},
		{"missing", []string{"db", "show", "nothing"}, "E_NOT_FOUND", 3},
		{"delete missing", []string{"db", "delete", "nothing", "--yes"}, "E_NOT_FOUND", 3},
		{"delete unasked", []string{"db", "delete", "taken"}, "", 2},
		{"unknown key", []string{"apply", "-f", bad}, "E_BAD_FILE", 2},
		{"bad yaml", []string{"apply", "-f", broken}, "E_BAD_FILE", 2},
		{"no file", []string{"apply", "-f", "/nowhere.yaml"}, "E_NOT_FOUND", 3},
		{"sql", []string{"sql", "SELECT * FROM clutsers"}, "E_BAD_SQL", 2},
		{"write", []string{"sql", "DELETE FROM clusters"}, "E_READ_ONLY", 4},
		{"time", []string{"sql", "--as-of", "yesterday", "SELECT 1"}, "E_BAD_TIME", 2},
		{"future", []string{"sql", "--as-of", "2999-01-01T00:00:00Z", "SELECT 1"}, "E_FUTURE", 2},
		{"command", []string{"databse", "list"}, "", 2},
		{"second up", []string{"up"}, "E_ALREADY_UP", 5},
		{"code", []string{"explain", "E_NOTHING"}, "E_NOT_FOUND", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, errs, exit := c.try(test.args...)
			if exit != test.exit || !strings.Contains(errs, test.code) || !strings.HasPrefix(errs, "error: ") {
				t.Errorf("volvox %s: exit %d, want %d with %s\n%s%s", strings.Join(test.args, " "), exit, test.exit, test.code, out, errs)
			}
			if test.code != "" && !strings.Contains(errs, "try:") {
				t.Errorf("nothing to try:\n%s", errs)
			}
		})
	}
	if got := c.sql("SELECT name FROM clusters"); got != "taken" {
		t.Errorf("half-created: %q", got)
	}
	if got := c.sql("SELECT count(*) FROM instances"); got != "1" {
		t.Errorf("instances: %s", got)
	}

	_, errs, _ := c.try("db", "show", "nothing", "-o", "json")
	var e struct {
		Code, Message string
	}
	if err := json.Unmarshal([]byte(errs), &e); err != nil || e.Code != "E_NOT_FOUND" {
		t.Errorf("-o json: %v\n%s", err, errs)
	}
}

// TestSideBySide runs two computers on one machine.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	a, b := newComputer(t).withCounter().boot(), newComputer(t).withCounter().boot()
	a.must("db", "create", "shop", "--engine", "counter", "--replicas", "2")
	b.must("db", "create", "shop", "--engine", "counter", "--replicas", "2")
	x, y := a.sql("SELECT address FROM instances"), b.sql("SELECT address FROM instances")
	for address := range strings.Lines(x) {
		if strings.Contains(y, strings.TrimSpace(address)) {
			t.Errorf("both have %s", address)
		}
	}
	a.must("down", "--purge", "--yes")
	a.wait()
	if got := b.sql("SELECT count(*) FROM instances WHERE ready"); got != "2" {
		t.Errorf("purging one hurt the other: %s ready", got)
	}
}

// TestMirrorAway creates a database whose image cannot be fetched: the error
// says so, and nothing is left of it.
func TestMirrorAway(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter()
	file := filepath.Join(c.layout.Data, "addons", "counter", "addon.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "deb:", "deb:no-such-package-anywhere,")), 0o600); err != nil {
		t.Fatal(err)
	}
	c.boot()
	_, errs, code := c.try("db", "create", "x", "--engine", "counter")
	if code == 0 || !strings.Contains(errs, "E_NO_PACKAGE") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if got := c.sql("SELECT count(*) FROM clusters WHERE phase <> 'Deleted'"); got != "0" {
		t.Errorf("%s clusters are left", got)
	}
	if got := c.sql("SELECT count(*) FROM instances"); got != "0" {
		t.Errorf("%s instances are left", got)
	}
}

// TestInterrupt ends `volvox up` as Ctrl-C does: instances stop with it.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "one", "--engine", "counter")
	pid := c.processOf(c.sql("SELECT name FROM instances"))
	c.up.Process.Signal(syscall.SIGINT)
	c.wait()
	if _, err := os.Stat("/proc/" + itoa(pid)); err == nil {
		t.Error("Ctrl-C left the instance running")
	}
}
