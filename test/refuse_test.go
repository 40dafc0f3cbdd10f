package test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused runs a command that has to be refused with the code and exit code,
// saying what, why and what to try.
func (c *computer) refused(code string, exit int, args ...string) string {
	c.t.Helper()
	out, errs, got := c.try(args...)
	if got != exit || !strings.Contains(errs, "error: ") || !strings.Contains(errs, "code: "+code+" ") || !strings.Contains(errs, "\ntry: ") {
		c.t.Errorf("volvox %s: exit %d, want %d with %s\n%s%s", strings.Join(args, " "), got, exit, code, out, errs)
	}
	return errs
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNoBoot starts computers that cannot be: each is one clear error, and
// nothing of it stays running.
func TestNoBoot(t *testing.T) {
	t.Parallel()
	c := newComputer(t)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	c.refused("E_PORT_TAKEN", 5, "up", "--listen", port.Addr().String())
	c.refused("E_BAD_INPUT", 2, "up", "--listen", "0.0.0.0:0")
	c.refused("E_BAD_INPUT", 2, "up", "--network", "10.0.0.0/16")
	c.refused("E_BAD_NAME", 2, "up", "--name", "No Name")
	c.must("down", "--purge", "--yes") // also of one that was never ready

	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	c.refused("E_BAD_INPUT", 2, "up", "--data", file)
	c.refused("E_BAD_INPUT", 2, "up", "--data", "/proc/none")

	full := filepath.Join(t.TempDir(), "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(full, syscall.MNT_DETACH)
	c.refused("E_DISK_FULL", 6, "up", "--data", full)
	c.must("down", "--purge", "--yes", "--data", full)
}

// TestNoBootAnew starts a computer again whose files are not as it left them.
func TestNoBootAnew(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "one", "--engine", "counter")
	c.must("down")
	c.wait()

	other := newComputer(t)
	other.refused("E_SUBNET_TAKEN", 5, "up", "--network", c.boot().sql("SELECT DISTINCT range FROM machines"))
	c.must("down")
	c.wait()

	key := c.layout.SecretKey()
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	c.refused("E_DENIED", 4, "up")
	move(t, key, key+".away")
	c.refused("E_CORRUPT", 1, "up")
	move(t, key+".away", key)
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	c.refused("E_UNSUPPORTED", 2, "up", "--name", "other")

	addon := filepath.Join(c.layout.Data, "addons", "counter", "addon.yaml")
	move(t, addon, addon+".md")
	if errs := c.refused("E_BAD_FILE", 2, "up"); !strings.Contains(errs, "the database one") {
		t.Errorf("not said for which database the addon is needed:\n%s", errs)
	}
	move(t, addon+".md", addon)

	kernel := c.layout.Kernel()
	move(t, kernel, kernel+".away")
	c.refused("E_CORRUPT", 1, "up")
	c.refused("E_CORRUPT", 1, "down")
	write(t, kernel, strings.Repeat("no kernel ", 1000))
	c.refused("E_CORRUPT", 1, "up")
	move(t, kernel+".away", kernel)

	c.boot()
	c.until("the database runs again", time.Minute, func() bool { return c.sql("SELECT phase FROM clusters") == "Running" })
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestHostRenamed boots a computer whose host has another name by now: its
// instances are still its own.
func TestHostRenamed(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()
	c.must("db", "create", "one", "--engine", "counter")
	before := c.sql("SELECT id, machine FROM instances")
	c.must("down")
	c.wait()
	c.renamed = true
	c.boot()
	c.until("the database runs again", time.Minute, func() bool { return c.sql("SELECT phase FROM clusters") == "Running" })
	if after := c.sql("SELECT id, machine FROM instances"); after != before {
		t.Errorf("instances were %q, are %q", before, after)
	}
	volumes, err := os.ReadDir(c.layout.Volumes())
	if err != nil || len(volumes) != 1 {
		t.Errorf("volumes: %v, %v", volumes, err)
	}
	if got := c.sql("SELECT count(*) FROM machines"); got != "1" {
		t.Errorf("%s machines", got)
	}
}

// TestBrokenAddon boots with an addon that cannot be used: the computer works,
// and says what is wrong where somebody would look.
func TestBrokenAddon(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter()
	write(t, filepath.Join(c.layout.Data, "addons", "broken", "addon.yaml"), "format: [1\n")
	mine := filepath.Join(c.layout.Data, "addons", "redis")
	if err := os.CopyFS(mine, os.DirFS("../addons/redis")); err != nil {
		t.Fatal(err)
	}
	c.boot()
	if errs := c.refused("E_UNKNOWN_ENGINE", 3, "db", "create", "x", "--engine", "broken"); !strings.Contains(errs, "addon.yaml:1:") {
		t.Errorf("not said what is wrong:\n%s", errs)
	}
	for _, args := range [][]string{{"status"}, {"doctor", "-o", "json"}} {
		if out, _, _ := c.try(args...); !strings.Contains(out, "the addon broken has") {
			t.Errorf("volvox %v does not say what is wrong:\n%s", args, out)
		}
	}
	if got := c.sql("SELECT name FROM addons ORDER BY name"); got != "counter\npostgresql\nredis" {
		t.Errorf("addons: %q", got)
	}
}

// TestPurgeTouchesOwn purges directories that are no computer's: nothing in
// them is touched.
func TestPurgeTouchesOwn(t *testing.T) {
	t.Parallel()
	c := newComputer(t)
	photo := filepath.Join(c.layout.Data, "images", "photo.jpg")
	write(t, photo, "a photo")
	write(t, filepath.Join(c.layout.Data, "lock"), "") // some other program's
	c.must("down", "--purge", "--yes")
	c.must("down")
	if _, err := os.Stat(photo); err != nil {
		t.Error(err)
	}
	if names, _ := os.ReadDir(c.layout.Data); len(names) != 2 {
		t.Errorf("in the directory are %v", names)
	}
	os.RemoveAll(c.layout.Data)
}

// TestNothingStays ends a computer that has no instances as an init system
// does: no process stays.
func TestNothingStays(t *testing.T) {
	t.Parallel()
	c := newComputer(t).boot()
	c.up.Process.Signal(syscall.SIGTERM)
	c.wait()
	out, _ := exec.Command("pgrep", "-f", c.layout.Run+"/").Output()
	if len(out) > 0 {
		t.Errorf("processes are left: %s", out)
	}
}
