package test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// connection runs the engine's own client on the machine.
func (c *computer) psql(cluster, query string) string {
	c.t.Helper()
	out, errs, code := c.try("db", "connect", cluster, "--", "-X", "-A", "-t", "-c", query)
	if code != 0 {
		c.t.Fatalf("%s: exit %d\n%s%s", query, code, out, errs)
	}
	return strings.TrimSpace(out)
}

// TestFirstBoot is the first five minutes with one computer: two engines,
// looking at them, stopping and starting, and removing all.
func TestFirstBoot(t *testing.T) {
	t.Parallel()
	c := newComputer(t).withCounter().boot()

	t.Run("create", func(t *testing.T) {
		c.t = t
		c.must("db", "create", "shop", "--engine", "postgresql", "--replicas", "2", "--param", "max_connections=50")
		if got := c.sql("SELECT phase, replicas FROM clusters WHERE name = 'shop'"); got != "Running,2" {
			t.Errorf("clusters: %q", got)
		}
		if got := c.sql("SELECT role, ready, phase FROM instances ORDER BY ordinal"); strings.ToLower(got) != "primary,true,running\nreplica,true,running" {
			t.Errorf("instances: %q", got)
		}
	})

	t.Run("connect", func(t *testing.T) {
		c.t = t
		c.psql("shop", "CREATE TABLE orders (n int)")
		c.psql("shop", "INSERT INTO orders SELECT generate_series(1, 1000)")
		if got := c.psql("shop", "SELECT count(*) FROM orders"); got != "1000" {
			t.Errorf("count: %q", got)
		}
		if got := c.psql("shop", "SELECT state FROM pg_stat_replication"); got != "streaming" {
			t.Errorf("replication: %q", got)
		}
		if got := c.psql("shop", "SHOW max_connections"); got != "50" {
			t.Errorf("max_connections: %q", got)
		}
	})

	t.Run("url", func(t *testing.T) {
		c.t = t
		masked, revealed := c.must("db", "connect", "shop", "--print-url"), c.must("db", "connect", "shop", "--print-url", "--reveal")
		u, err := url.Parse(strings.TrimSpace(revealed))
		if err != nil || strings.Count(revealed, "\n") != 1 {
			t.Fatalf("%q: %v", revealed, err)
		}
		password, _ := u.User.Password()
		if len(password) < 20 || strings.Contains(masked, password) {
			t.Errorf("password %d characters, masked URL %q", len(password), masked)
		}
		out, err := exec.Command("psql", "-X", "-A", "-t", "-c", "SELECT 1", strings.TrimSpace(revealed)).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "1" {
			t.Errorf("psql URL: %v\n%s", err, out)
		}
		for _, table := range []string{"secrets", "instance_specs", "actions", "workflows", "steps", "events", "transactions"} {
			if strings.Contains(c.must("sql", "-o", "json", "SELECT * FROM "+table), password) {
				t.Errorf("the password stands in %s", table)
			}
		}
		if strings.Contains(c.log.String(), password) || strings.Contains(c.must("logs", "shop-pg-0"), password) {
			t.Error("the password stands in a log")
		}
	})

	t.Run("redis", func(t *testing.T) {
		c.t = t
		c.must("db", "create", "cache", "--engine", "redis", "--replicas", "2", "--memory", "128Mi")
		out, errs, code := c.tryWith("SET greeting hello\nGET greeting\n", "db", "connect", "cache")
		if code != 0 || !strings.Contains(out, "hello") {
			t.Errorf("exit %d: %q %q", code, out, errs)
		}
	})

	t.Run("look", func(t *testing.T) {
		c.t = t
		for _, args := range [][]string{
			{"ps"}, {"db", "list"}, {"db", "show", "shop"}, {"db", "events", "shop"}, {"db", "logs", "shop", "--lines", "5"},
			{"logs", "shop-pg-0"}, {"sql", "--tables"}, {"doctor"}, {"version"}, {"status"}, {"workflow", "list"}, {"help"},
			{"sql", "--as-of", "-1s", "SELECT * FROM clusters"}, {"explain", "E_NO_MEMORY"}, {"completion", "bash"},
		} {
			if out := c.must(args...); strings.TrimSpace(out) == "" {
				t.Errorf("volvox %v printed nothing", args)
			}
		}
		var tables []struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal([]byte(c.must("sql", "-o", "json", "SELECT name FROM tables")), &tables); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			c.must("sql", "-o", "csv", "SELECT * FROM "+table.Name+" LIMIT 1")
		}
		if len(tables) < 12 {
			t.Errorf("only %d tables", len(tables))
		}
		if got := c.sql("SELECT DISTINCT actor FROM transactions WHERE actor LIKE 'user:%'"); got != "user:root" {
			t.Errorf("actors: %q", got)
		}
	})

	t.Run("engines", func(t *testing.T) {
		c.t = t
		c.must("db", "create", "count", "--engine", "counter", "--replicas", "2")
		known := engines(t)
		for cluster, engine := range map[string]string{"shop": "postgresql", "cache": "redis", "count": "counter"} {
			t.Run(engine, func(t *testing.T) {
				c.t = t
				c.conform(known[engine], cluster)
			})
		}
		c.t = t
		if got := c.psql("shop", "SELECT count(*) FROM orders"); got != "1000" {
			t.Errorf("count: %q", got)
		}
		c.must("db", "delete", "count", "--yes")
	})

	t.Run("restart", func(t *testing.T) {
		c.t = t
		before := c.processOf("shop-pg-0")
		c.up.Process.Signal(syscall.SIGTERM)
		if err := c.wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
		if _, err := os.Stat("/proc/" + itoa(before)); err != nil {
			t.Fatalf("SIGTERM ended an instance: %v", err)
		}
		c.boot()
		if after := c.processOf("shop-pg-0"); after != before {
			t.Errorf("the primary was process %d, and is %d", before, after)
		}
		c.psql("shop", "INSERT INTO orders VALUES (1001)")
	})

	t.Run("down and up", func(t *testing.T) {
		c.t = t
		before := c.processOf("shop-pg-0")
		c.must("down")
		if err := c.wait(); err != nil {
			t.Errorf("after down: %v", err)
		}
		if _, err := os.Stat("/proc/" + itoa(before)); err == nil {
			t.Error("down left an instance running")
		}
		if _, _, code := c.try("status"); code == 0 {
			t.Error("status says ready after down")
		}
		c.boot()
		c.until("all members are ready again", time.Minute, func() bool {
			return c.sql("SELECT count(*) FROM instances WHERE ready") == "4"
		})
		if got := c.psql("shop", "SELECT count(*) FROM orders"); got != "1001" {
			t.Errorf("count: %q", got)
		}
	})

	t.Run("delete", func(t *testing.T) {
		c.t = t
		c.must("db", "delete", "cache", "--yes")
		c.must("db", "delete", "shop", "--yes")
		if got := c.sql("SELECT count(*) FROM clusters WHERE phase <> 'Deleted'"); got != "0" {
			t.Errorf("clusters left: %s", got)
		}
		if got := c.sql("SELECT count(*) FROM instances"); got != "0" {
			t.Errorf("instances left: %s", got)
		}
		if got := c.sql("SELECT count(*) FROM secrets"); got != "0" {
			t.Errorf("secrets left: %s", got)
		}
	})
	c.t = t
}
