package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/api/apitest"
	"github.com/volvox-os/volvox/store"
)

// ask sends a request to the computer and returns status and body.
func ask(t *testing.T, socket, method, path, text string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://x"+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if text != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := over(t, socket).Do(req)
	out := body(t, res, err)
	return res.StatusCode, out
}

// TestErrorsHaveOneShape: whatever goes wrong, the body is our error.
func TestErrorsHaveOneShape(t *testing.T) {
	c := apitest.Start(t)
	for _, r := range []struct {
		method, path, body string
		status             int
		code               volvox.Code
	}{
		{"GET", "/v1/nothing", "", 404, volvox.NotFound},
		{"PUT", "/v1/databases", "", 404, volvox.NotFound},
		{"GET", "/v1/databases?nope=1", "", 422, volvox.BadInput},
		{"GET", "/v1/events?limit=many", "", 422, volvox.BadInput},
		{"GET", "/v1/databases/shop", "", 404, volvox.NotFound},
		{"GET", "/v1/instances/shop", "", 404, volvox.NotFound},
		{"GET", "/v1/instances/shop/logs", "", 404, volvox.NotFound},
		{"GET", "/v1/workflows/x", "", 404, volvox.NotFound},
		{"GET", "/v1/workflows/x/steps", "", 404, volvox.NotFound},
		{"GET", "/v1/workflows/x/follow", "", 404, volvox.NotFound},
		{"GET", "/v1/codes/x", "", 404, volvox.NotFound},
		{"GET", "/v1/watch?tables=nowhere", "", 404, volvox.NotFound},
		{"POST", "/v1/databases", "", 400, volvox.BadInput},
		{"POST", "/v1/databases", "{", 400, volvox.BadInput},
		{"POST", "/v1/databases", `{"name": 1, "engine": "counter"}`, 422, volvox.BadInput},
		{"POST", "/v1/databases", `{"name": "shop", "engine": "counter", "colour": "red"}`, 422, volvox.BadInput},
		{"POST", "/v1/databases", `{"name": "Shop", "engine": "counter"}`, 422, volvox.BadName},
		{"POST", "/v1/databases", `{"name": "shop", "engine": "counter", "memory_bytes": 9000000000000}`, 507, volvox.NoMemory},
		{"POST", "/v1/apply", `{"name": "f", "text": "nothing: here"}`, 422, volvox.BadFile},
		{"POST", "/v1/sql", `{"sql": "SELEC 1"}`, 422, volvox.BadSQL},
		{"POST", "/v1/sql", `{"sql": ""}`, 422, volvox.BadInput},
		{"POST", "/v1/sql", `{"sql": "DELETE FROM clusters"}`, 403, volvox.ReadOnly},
		{"POST", "/v1/sql", `{"sql": "SELECT 1", "as_of": "soon"}`, 422, volvox.BadTime},
	} {
		status, text := ask(t, c.Socket, r.method, r.path, r.body)
		var e volvox.Error
		if err := json.Unmarshal([]byte(text), &e); err != nil || status != r.status || e.Code != r.code || e.What == "" {
			t.Errorf("%s %s %s: %d %s, want %d %s", r.method, r.path, r.body, status, text, r.status, r.code)
		}
	}
}

func TestEveryKindHasItsStatus(t *testing.T) {
	for _, d := range volvox.Codes() {
		if s := api.StatusOf(d.Kind); s < 400 || s > 599 || s == http.StatusInternalServerError && d.Kind != volvox.KindInternal && d.Kind != volvox.KindCorrupt {
			t.Errorf("%s, of kind %s, has status %d", d.Code, d.Kind, s)
		}
	}
}

// TestWithoutServices: while it boots, the API answers that it is not ready.
func TestWithoutServices(t *testing.T) {
	l, err := api.Listen(shortDir(t) + "/s")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, api.New(api.Options{}))
	for _, path := range []string{"/v1/databases", "/v1/addons", "/v1/instances", "/v1/machines", "/v1/workflows", "/v1/events", "/v1/watch", "/v1/sql/tables", "/v1/doctor", "/v1/metrics", "/v1/workflows/x/follow", "/v1/instances/x/logs"} {
		status, text := ask(t, l.Address(), "GET", path, "")
		if status != http.StatusServiceUnavailable || !strings.Contains(text, string(volvox.NotReady)) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := ask(t, l.Address(), "GET", "/v1/status", ""); status != 200 || !strings.Contains(text, `"ready":false`) || !strings.Contains(text, `"parts":[]`) {
		t.Errorf("status: %d %s", status, text)
	}
	for _, path := range []string{"/openapi.json", "/openapi.yaml"} {
		if status, text := ask(t, l.Address(), "GET", path, ""); status != 200 || !strings.Contains(text, "3.1.0") || !strings.Contains(text, "/v1/databases/{name}") {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// panicking is a kernel that fails in a way nobody thought of.
type panicking struct{ api.Kernel }

func (panicking) Tables(context.Context) ([]store.Table, error) { panic("planted") }

func TestAPanicIsAnError(t *testing.T) {
	l, err := api.Listen(shortDir(t) + "/s")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, api.New(api.Options{Kernel: panicking{}}))
	status, text := ask(t, l.Address(), "GET", "/v1/sql/tables", "")
	if status != 500 || !strings.Contains(text, string(volvox.Internal)) || !strings.Contains(text, "planted") {
		t.Errorf("%d %s", status, text)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	c := apitest.Start(t)
	for _, path := range []string{"/v1/databases", "/v1/instances", "/v1/workflows", "/v1/metrics", "/v1/events?kind=nothing"} {
		if status, text := ask(t, c.Socket, "GET", path, ""); status != 200 || strings.TrimSpace(text) != "[]" {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// TestSQLStream: header, rows, end; an error behind the first row ends the
// answer within it.
func TestSQLStream(t *testing.T) {
	c := apitest.Start(t)
	status, text := ask(t, c.Socket, "POST", "/v1/sql", `{"sql": "SELECT 1 AS n, 'x' AS t UNION ALL SELECT 2, NULL"}`)
	if want := "{\"columns\":[\"n\",\"t\"]}\n[1,\"x\"]\n[2,null]\n{\"end\":true,\"rows\":2}\n"; status != 200 || text != want {
		t.Errorf("%d %s", status, text)
	}
	status, text = ask(t, c.Socket, "POST", "/v1/sql", `{"sql": "SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3", "max_rows": 2}`)
	if status != 200 || !strings.Contains(text, `"end":true`) || !strings.Contains(text, string(volvox.TooManyRows)) {
		t.Errorf("%d %s", status, text)
	}
	status, text = ask(t, c.Socket, "POST", "/v1/sql", `{"sql": "SELECT name FROM clusters"}`)
	if want := "{\"columns\":[\"name\"]}\n{\"end\":true,\"rows\":0}\n"; status != 200 || text != want {
		t.Errorf("%d %s", status, text)
	}
}

// sse is one event of a stream.
type sse struct{ id, event, data string }

// events opens a stream and yields its events until stop is called.
func events(t *testing.T, socket, path, lastID string) (next func() (sse, bool), stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apitest.Deadline)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := over(t, socket).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%d %s %s", res.StatusCode, ct, b)
	}
	next, end := iter.Pull(func(yield func(sse) bool) {
		lines := bufio.NewScanner(res.Body)
		var e sse
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "id":
				e.id = value
			case "event":
				e.event = value
			case "data":
				e.data = value
			case "":
				if e != (sse{}) && !yield(e) {
					return
				}
				e = sse{}
			}
		}
	})
	return next, func() { cancel(); end(); res.Body.Close() }
}

// TestWatchResumes breaks a stream after each of its transactions and goes on
// with the last ID: nothing is lost and nothing comes twice.
func TestWatchResumes(t *testing.T) {
	c := apitest.Start(t)
	record := func(n int) {
		t.Helper()
		err := c.DB.Update(context.Background(), func(tx *store.Tx) error {
			for i := range 2 { // two changes in one transaction
				if _, err := tx.Exec(`INSERT INTO events (id, created_at, project, kind, name, level, code, message) VALUES ($1, $2, 'main', 'test', 'x', 'info', '', $3)`,
					fmt.Sprintf("%d-%d", n, i), time.Now(), fmt.Sprintf("%d.%d", n, i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	lastID := ""
	var got []string
	for n := range 4 {
		if n != 1 { // one round finds what was written while nobody listened
			next, stop := events(t, c.Socket, "/v1/watch?tables=events", lastID)
			record(n)
			for len(got) < 2*(n+1) {
				e, ok := next()
				if !ok {
					t.Fatalf("the stream ended after %q", got)
				}
				var change store.Change
				if err := json.Unmarshal([]byte(e.data), &change); err != nil || e.event != "change" || change.Table != "events" {
					t.Fatalf("%+v: %v", e, err)
				}
				if change.Last != (e.id != "") {
					t.Errorf("only the last change of a transaction has an id: %+v", e)
				}
				if e.id != "" {
					lastID = e.id
				}
				got = append(got, change.Row["message"].(string))
			}
			stop()
			continue
		}
		record(n)
	}
	want := "0.0 0.1 1.0 1.1 2.0 2.1 3.0 3.1"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatchFromTheFutureIsAnError(t *testing.T) {
	c := apitest.Start(t)
	next, stop := events(t, c.Socket, "/v1/watch?from=999999999", "")
	defer stop()
	if e, ok := next(); !ok || e.event != "error" || !strings.Contains(e.data, string(volvox.Future)) {
		t.Errorf("%+v %v", e, ok)
	}
	if e, ok := next(); ok {
		t.Errorf("it goes on with %+v", e)
	}
}

// TestStreamsEndWithTheServer: a stop does not wait for readers that follow.
func TestStreamsEndWithTheServer(t *testing.T) {
	c := apitest.Start(t)
	l, err := api.Listen(shortDir(t) + "/s")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, l, api.New(api.Options{Kernel: c.DB}))
	next, end := events(t, l.Address(), "/v1/watch", "")
	defer end()
	began := time.Now()
	stop()
	if e, ok := next(); ok {
		t.Errorf("the stream goes on with %+v", e)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestShutdownIsHandedOn(t *testing.T) {
	c := apitest.Start(t)
	status, text := ask(t, c.Socket, "POST", "/v1/shutdown", `{"stop_instances": true}`)
	if asked := c.Shutdowns(); status != 202 || len(asked) != 1 || asked[0] != (api.Shutdown{StopInstances: true}) || !strings.Contains(text, `"ready":true`) {
		t.Errorf("%d %s, asked %+v", status, text, asked)
	}
	if status, text := ask(t, c.Socket, "GET", "/v1/doctor", ""); status != 200 || !strings.Contains(text, "nearly full") {
		t.Errorf("doctor: %d %s", status, text)
	}
	if status, text := ask(t, c.Socket, "GET", "/v1/machines", ""); status != 200 || !strings.Contains(text, `"name":"m1"`) {
		t.Errorf("machines: %d %s", status, text)
	}
	if status, text := ask(t, c.Socket, "GET", "/v1/codes/e_no_memory", ""); status != 200 || !strings.Contains(text, "free for reservation") {
		t.Errorf("codes: %d %s", status, text)
	}
}
