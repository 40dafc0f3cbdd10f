// Package test tries whole computers: the real binary, real containers, real
// servers, real kills.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
)

// binary is the volvox under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "volvox-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "volvox")
	build := exec.Command("go", "build", "-o", binary, "../cmd/volvox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build volvox: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// long says whether long seeds are wanted.
func long() bool { return os.Getenv("VOLVOX_TEST_LONG") != "" }

// computer is a computer on a directory of its own.
type computer struct {
	t      testing.TB
	layout volvox.Layout
	flags  []string // of up
	up     *exec.Cmd
	ended  chan error
	log    *lockedBuffer

	renamed bool   // up finds another name of the host
	where   string // the range of its instances, once it was ready
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newComputer makes one that is not up yet. When the test ends it is purged,
// and the test fails if anything is left.
func newComputer(t testing.TB, flags ...string) *computer {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole computer takes its time: make test runs it")
	}
	if os.Geteuid() != 0 {
		t.Fatal("these tests need root: containers and their network are real")
	}
	l, err := volvox.LayoutOf(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	c := &computer{t: t, layout: l, flags: flags, log: &lockedBuffer{}}
	t.Cleanup(func() {
		if out, errs, code := c.try("down", "--purge", "--yes"); code != 0 {
			t.Errorf("down --purge: exit %d\n%s%s", code, out, errs)
		}
		if c.up != nil {
			c.wait()
		}
		if t.Failed() {
			t.Logf("the log of volvox up:\n%s", tail(c.log.String(), 200))
		}
		for _, left := range leftovers(l, c.where) {
			t.Errorf("left behind: %s", left)
		}
	})
	return c
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// boot starts `volvox up` and waits until it is ready.
func (c *computer) boot() *computer {
	c.t.Helper()
	c.start()
	c.ready()
	return c
}

func (c *computer) start() {
	c.t.Helper()
	argv := append([]string{binary, "up", "--data", c.layout.Data}, c.flags...)
	// Its own group, as a terminal would give it.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if c.renamed {
		argv = append([]string{"sh", "-c", `echo renamed > /proc/sys/kernel/hostname && exec "$@"`, "sh"}, argv...)
		attr.Cloneflags = syscall.CLONE_NEWUTS
	}
	c.up = exec.Command(argv[0], argv[1:]...)
	c.up.Stdout, c.up.Stderr, c.up.SysProcAttr = c.log, c.log, attr
	if err := c.up.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.ended = make(chan error, 1)
	go func(up *exec.Cmd, ended chan error) { ended <- up.Wait() }(c.up, c.ended)
}

func (c *computer) ready() {
	c.t.Helper()
	c.until("volvox status says ready", 30*time.Second, func() bool {
		select {
		case err := <-c.ended:
			c.ended <- err
			c.t.Fatalf("volvox up ended: %v\n%s", err, c.log)
		default:
		}
		out, _, code := c.try("status", "-o", "json")
		var s struct{ Network string }
		if code == 0 && json.Unmarshal([]byte(out), &s) == nil {
			c.where = s.Network
		}
		return code == 0
	})
}

// wait returns how `volvox up` ended.
func (c *computer) wait() error {
	c.t.Helper()
	select {
	case err := <-c.ended:
		c.ended <- err
		c.up = nil
		return err
	case <-time.After(time.Minute):
		c.t.Fatalf("volvox up did not end within a minute\n%s", c.log)
		return nil
	}
}

// kill ends `volvox up` with -9.
func (c *computer) kill() {
	c.t.Helper()
	c.up.Process.Kill()
	c.wait()
}

// until polls a condition of another process until it holds.
func (c *computer) until(what string, limit time.Duration, f func() bool) {
	c.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			c.t.Fatalf("not within %v: %s\n%s", limit, what, tail(c.log.String(), 100))
		case <-tick.C:
		}
	}
}

// try runs a command and returns what it printed and its exit code.
func (c *computer) try(args ...string) (stdout, stderr string, code int) {
	return c.tryWith("", args...)
}

func (c *computer) tryWith(stdin string, args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "VOLVOX_DATA="+c.layout.Data)
	cmd.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		code = -1
		e.WriteString(err.Error())
	}
	return o.String(), e.String(), code
}

// must runs a command that has to succeed and returns its standard output.
func (c *computer) must(args ...string) string {
	c.t.Helper()
	out, errs, code := c.try(args...)
	if code != 0 {
		c.t.Fatalf("volvox %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// sql returns the rows of a query as csv, without the header.
func (c *computer) sql(query string, flags ...string) string {
	c.t.Helper()
	out := c.must(append([]string{"sql", "-o", "csv", query}, flags...)...)
	_, rows, _ := strings.Cut(out, "\n")
	return strings.TrimSpace(strings.ReplaceAll(rows, "\r", ""))
}

// leftovers lists what a purged computer with the range left on the machine.
func leftovers(l volvox.Layout, where string) (left []string) {
	for _, path := range []string{l.Data, l.Run} {
		if _, err := os.Lstat(path); err == nil {
			out, _ := exec.Command("find", path).Output()
			left = append(left, path+": "+tail(string(out), 20))
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		argv, _ := os.ReadFile(p)
		text := strings.ReplaceAll(string(argv), "\x00", " ")
		dead, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
		if (strings.Contains(text, l.Data) || strings.Contains(text, "volvox-"+l.ID)) && !bytes.Contains(dead, []byte(") Z ")) {
			left = append(left, "process "+filepath.Base(filepath.Dir(p))+": "+text)
		}
	}
	for name, args := range map[string][]string{"interface": {"ip", "-o", "link"}, "route": {"ip", "route", "show", "table", "all"}, "mount": {"cat", "/proc/self/mounts"}} {
		out, _ := exec.Command(args[0], args[1:]...).Output()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "vx"+l.ID) || strings.Contains(line, l.Data) || strings.Contains(line, l.Run) || where != "" && strings.Contains(line, where) {
				left = append(left, name+" "+strings.TrimSpace(line))
			}
		}
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/volvox-" + l.ID)
	unified, _ := filepath.Glob("/sys/fs/cgroup/volvox-" + l.ID)
	for _, g := range append(groups, unified...) {
		left = append(left, "control group "+g)
	}
	return left
}

// TestLeftoversAreFound plants a process and a directory.
func TestLeftoversAreFound(t *testing.T) {
	l, err := volvox.LayoutOf(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if got := leftovers(l, ""); len(got) > 0 {
		t.Fatalf("nothing was planted, found %q", got)
	}
	if err := os.MkdirAll(l.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tail", "-f", "/dev/null", filepath.Join(l.Data, "x"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(leftovers(l, ""), "\n")
	cmd.Process.Kill()
	cmd.Wait()
	if !strings.Contains(got, "process") || !strings.Contains(got, l.Data+":") {
		t.Errorf("planted a directory and a process, found %q", got)
	}
}
