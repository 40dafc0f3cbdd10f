package client_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/api/apitest"
	"github.com/volvox-os/volvox/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, address string, o client.Options) (*client.Client, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apitest.Deadline)
	c := client.New(address, o)
	t.Cleanup(func() { c.Close(); cancel() })
	return c, ctx
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v (%s)", err, volvox.CodeOf(err))
		}
		return v
	}
}

// TestLifeOfADatabase goes through every method that is about one.
func TestLifeOfADatabase(t *testing.T) {
	c, ctx := connect(t, apitest.Start(t).Socket, client.Options{})
	wish := client.Wish{Name: "shop", Engine: apitest.Engine, Replicas: 2}
	if p := must(c.PlanDatabase(ctx, wish))(t); p.Action != "create" || len(p.Steps) == 0 || p.Error != nil {
		t.Errorf("plan: %+v", p)
	}
	made := must(c.CreateDatabase(ctx, wish))(t)
	if made.Workflow == "" || made.Phase == volvox.Running {
		t.Errorf("created: %+v", made)
	}
	var steps []string
	w := must(c.Follow(ctx, made.Workflow, func(s client.Step) { steps = append(steps, s.Name) }, nil))(t)
	if w.Status != "Succeeded" || w.Kind != "cluster" || w.Subject != "shop" {
		t.Errorf("followed to %+v", w)
	}
	recorded := must(c.Steps(ctx, made.Workflow))(t)
	if len(steps) != len(recorded) || len(steps) == 0 {
		t.Errorf("followed %d steps %q, recorded are %d", len(steps), steps, len(recorded))
	}
	if d := must(c.Database(ctx, "shop"))(t); d.Phase != volvox.Running {
		t.Errorf("shop is %+v", d)
	}
	if all := must(c.Databases(ctx))(t); len(all) != 1 {
		t.Errorf("databases: %+v", all)
	}
	if m := must(c.Members(ctx, "shop"))(t); len(m) != 2 || !m[0].Ready {
		t.Errorf("members: %+v", m)
	}
	if m := must(c.Metrics(ctx))(t); len(m) != 1 || m[0].CPUMicros != 1_500_000 {
		t.Errorf("metrics: %+v", m)
	}
	if e := must(c.DatabaseEvents(ctx, "shop", 100, true))(t); len(e) == 0 {
		t.Error("no events")
	}
	hidden, shown := must(c.Connection(ctx, "shop", false))(t), must(c.Connection(ctx, "shop", true))(t)
	if !strings.Contains(hidden.URL, "****") || len(hidden.Env) > 0 || strings.Contains(shown.URL, "****") || len(shown.Env) == 0 {
		t.Errorf("connection: %+v, revealed %+v", hidden, shown)
	}
	logs := must(c.Logs(ctx, "shop-counter-0", 1, false))(t)
	if b := must(io.ReadAll(logs))(t); string(b) != "shop-counter-0 works\n" {
		t.Errorf("logs: %q", b)
	}
	logs.Close()
	if _, err := c.CreateDatabase(ctx, client.Wish{Name: "shop", Engine: apitest.Engine}); volvox.CodeOf(err) != volvox.Exists {
		t.Errorf("created again: %v", err)
	}
	removal := must(c.DeleteDatabase(ctx, "shop"))(t)
	if w := must(c.Follow(ctx, removal.Workflow, nil, nil))(t); w.Status != "Succeeded" {
		t.Errorf("deletion: %+v", w)
	}
	if _, err := c.Database(ctx, "shop"); volvox.CodeOf(err) != volvox.NotFound {
		t.Errorf("after deletion: %v", err)
	}
	if all := must(c.Workflows(ctx, "cluster", "shop", 10))(t); len(all) != 2 {
		t.Errorf("workflows: %+v", all)
	}
	if all := must(c.Instances(ctx))(t); len(all) != 0 {
		t.Errorf("instances: %+v", all)
	}
}

// TestFollowBeginsAnywhere: one who comes late is told every step once, and
// one who follows from the start hears what the members say meanwhile.
func TestFollowBeginsAnywhere(t *testing.T) {
	computer := apitest.Start(t)
	computer.Twin.Hold()
	c, ctx := connect(t, computer.Socket, client.Options{})
	made := must(c.CreateDatabase(ctx, client.Wish{Name: "shop", Engine: apitest.Engine}))(t)
	said := ""
	w := must(c.Follow(ctx, made.Workflow, nil, func(p client.Progress) {
		if said == "" {
			said = p.Ref.Name + ": " + p.Message
			computer.Twin.Release()
		}
	}))(t)
	if w.Status != "Succeeded" || said == "" {
		t.Errorf("%+v, said %q", w, said)
	}
	count := map[int]int{}
	must(c.Follow(ctx, made.Workflow, func(s client.Step) { count[s.Seq]++ }, nil))(t)
	for seq := 1; seq <= len(must(c.Steps(ctx, made.Workflow))(t)); seq++ {
		if count[seq] != 1 {
			t.Errorf("step %d was told %d times", seq, count[seq])
		}
	}
}

func TestAsk(t *testing.T) {
	c, ctx := connect(t, apitest.Start(t).Socket, client.Options{})
	a := must(c.Ask(ctx, client.Question{SQL: "SELECT 9007199254740993 AS big, NULL AS none"}))(t)
	defer a.Close()
	n := 0
	for row, err := range a.Rows() {
		must(row, err)(t)
		n++
		if s, _ := row[0].(interface{ String() string }); s == nil || s.String() != "9007199254740993" || row[1] != nil {
			t.Errorf("row %v", row)
		}
	}
	if n != 1 || strings.Join(a.Columns, " ") != "big none" {
		t.Errorf("%d rows of %v", n, a.Columns)
	}
	if _, err := c.Ask(ctx, client.Question{SQL: "SELECT 1", AsOf: "never"}); volvox.CodeOf(err) != volvox.BadTime {
		t.Errorf("as of never: %v", err)
	}
	many := must(c.Ask(ctx, client.Question{SQL: "SELECT 1 AS n UNION ALL SELECT 2", MaxRows: 1}))(t)
	defer many.Close()
	var last error
	for _, err := range many.Rows() {
		last = err
	}
	if volvox.CodeOf(last) != volvox.TooManyRows {
		t.Errorf("too many rows: %v", last)
	}
}

func TestWatch(t *testing.T) {
	c, ctx := connect(t, apitest.Start(t).Socket, client.Options{})
	must(c.CreateDatabase(ctx, client.Wish{Name: "shop", Engine: apitest.Engine}))(t)
	for change, err := range c.Watch(ctx, 0, "clusters") {
		must(change, err)(t)
		if change.Row["name"] != "shop" {
			t.Errorf("change %+v", change)
		}
		if change.Row["phase"] == string(volvox.Running) {
			break
		}
	}
	for _, err := range c.Watch(ctx, 1<<40, "clusters") {
		if volvox.CodeOf(err) != volvox.Future {
			t.Errorf("from the future: %v", err)
		}
	}
}

// TestUnreachable: each reason has its own error.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, address := range []string{filepath.Join(dir, "none"), stale} {
		c, ctx := connect(t, address, client.Options{Data: "/some/data"})
		_, err := c.Status(ctx)
		if volvox.CodeOf(err) != volvox.NotUp || !strings.Contains(strings.Join(volvox.AsError(err).Try, "\n"), "volvox up --data /some/data") {
			t.Errorf("%s: %v, try %q", filepath.Base(address), err, volvox.AsError(err).Try)
		}
	}
	c, ctx := connect(t, filepath.Join(dir, "none"), client.Options{})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Status(ended); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("cancelled: %v", err)
	}
	// A peer that hangs up, and one that speaks something else.
	for answer, want := range map[string]volvox.Code{"": volvox.Unavailable, "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops": volvox.Internal,
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{": volvox.Unavailable} {
		c, ctx := connect(t, oneAnswer(t, answer), client.Options{})
		if _, err := c.Status(ctx); volvox.CodeOf(err) != want {
			t.Errorf("answered %q: %v, want %s", answer, err, want)
		}
	}
}

// oneAnswer is a socket that answers the first request with a text.
func oneAnswer(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func TestOverTCP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	l, err := api.ListenTCP("127.0.0.1:0", file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, api.New(api.Options{}), nil) }()
	t.Cleanup(func() { cancel(); <-done })
	token := must(os.ReadFile(file))(t)
	with, bound := connect(t, l.Address(), client.Options{Token: strings.TrimSpace(string(token))})
	if _, err := with.Status(bound); err != nil {
		t.Errorf("with the token: %v", err)
	}
	without, bound := connect(t, l.Address(), client.Options{})
	if _, err := without.Status(bound); volvox.CodeOf(err) != volvox.Denied {
		t.Errorf("without: %v", err)
	}
}
