package test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/addons"
)

// engines are the addons that come with Volvox and the counter of the tests.
func engines(t *testing.T) map[string]*addon.Addon {
	t.Helper()
	all, err := addon.LoadAll(addons.FS)
	if err != nil {
		t.Fatal(err)
	}
	counter, err := addon.Load(os.DirFS("../addon/testdata/counter"))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*addon.Addon{}
	for _, a := range append(all, counter) {
		byName[a.Name] = a
	}
	return byName
}

// inside runs a command of a conformance workload in an instance, by the tool
// of containerd, so that nothing of Volvox stands between.
func (c *computer) inside(instance string, command []string, key string) (string, error) {
	c.t.Helper()
	id := c.sql("SELECT id FROM instances WHERE name = '" + instance + "'")
	args := []string{"--address", c.layout.Run + "/containerd.sock", "--namespace", "volvox-" + c.layout.ID,
		"tasks", "exec", "--exec-id", "test-" + string(volvox.NewID()), id}
	for _, word := range command {
		args = append(args, strings.ReplaceAll(word, "{key}", key))
	}
	out, err := exec.Command("ctr", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// writable is the member of a cluster that takes writes, other is another one.
func (c *computer) writable(cluster string) (name, other string) {
	c.t.Helper()
	name = c.sql("SELECT primary_instance FROM components WHERE cluster = '" + cluster + "'")
	return name, c.sql("SELECT name FROM instances WHERE cluster = '" + cluster + "' AND name <> '" + name + "' LIMIT 1")
}

// conform is what every engine passes that has two members: what it has
// acknowledged is there after its program was killed and after the computer
// was, and the other member has it too.
func (c *computer) conform(a *addon.Addon, cluster string) {
	t := c.t.(*testing.T)
	t.Helper()
	w := a.Conformance
	if w == nil {
		t.Fatalf("%s has no conformance.yaml", a.Name)
	}
	first, second := c.writable(cluster)
	if len(w.Prepare) > 0 {
		if out, err := c.inside(first, w.Prepare, ""); err != nil {
			t.Fatalf("prepare: %v\n%s", err, out)
		}
	}
	var acknowledged []string
	write := func(n int) {
		t.Helper()
		for range n {
			key := fmt.Sprintf("item-%d", len(acknowledged))
			if out, err := c.inside(first, w.Write, key); err != nil {
				t.Fatalf("write %s: %v\n%s", key, err, out)
			}
			acknowledged = append(acknowledged, key)
		}
	}
	check := func() {
		t.Helper()
		c.until(second+" has all that was written", 30*time.Second, func() bool {
			out, err := c.inside(second, w.Count, "")
			return err == nil && out == fmt.Sprint(len(acknowledged))
		})
		for _, member := range []string{first, second} {
			out, err := c.inside(member, w.Read, "")
			items := strings.Fields(out)
			slices.Sort(items)
			want := slices.Sorted(slices.Values(acknowledged))
			if err != nil || !slices.Equal(items, want) {
				t.Errorf("%s has %q, %v, want %q", member, items, err, want)
			}
		}
	}
	write(10)
	check()
	for _, member := range []string{first, second} {
		syscall.Kill(c.processOf(member), syscall.SIGKILL)
		c.until(member+" is started again", time.Minute, func() bool {
			return c.sql("SELECT count(*) FROM instances WHERE ready AND restarts > 0 AND name = '"+member+"'") == "1"
		})
		write(3)
		check()
	}
	c.kill()
	c.boot()
	write(3)
	check()
}
