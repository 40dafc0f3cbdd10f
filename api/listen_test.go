package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/api/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// whoami answers with the actor of the request.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, string(volvox.ActorOf(r.Context()))) })

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve serves on l until the test ends, or the returned function is called.
func serve(t *testing.T, l *api.Listener, h http.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, h, nil) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// over returns an HTTP client for a unix socket.
func over(t *testing.T, socket string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: apitest.Deadline}
}

func body(t *testing.T, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestListenIsForTheOwnerAlone(t *testing.T) {
	socket := filepath.Join(shortDir(t), "api.sock")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, l, whoami)
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	res, err := over(t, socket).Get("http://x/")
	if got := body(t, res, err); got != "user:"+me.Username {
		t.Errorf("the actor is %q, want user:%s", got, me.Username)
	}
	if _, err := api.Listen(socket); volvox.CodeOf(err) != volvox.AlreadyUp {
		t.Errorf("a second listener: %v", err)
	}
	stop()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(socket)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	socket := filepath.Join(shortDir(t), "api.sock")
	dead, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	dead.Close()
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, whoami)
	res, err := over(t, socket).Get("http://x/")
	if got := body(t, res, err); !strings.HasPrefix(got, "user:") {
		t.Errorf("answered %q", got)
	}
	if _, err := api.Listen(filepath.Join(shortDir(t), strings.Repeat("x", 100))); volvox.CodeOf(err) != volvox.BadInput {
		t.Errorf("too long a path: %v", err)
	}
}

func TestListenTCPWantsItsToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	l, err := api.ListenTCP("127.0.0.1:0", file)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, whoami)
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("the token's mode is %v", info.Mode())
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	ask := func(authorization string) (int, string) {
		req, _ := http.NewRequest(http.MethodGet, l.Address(), nil)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		res, err := (&http.Client{Transport: transport, Timeout: apitest.Deadline}).Do(req)
		text := body(t, res, err)
		return res.StatusCode, text
	}
	if status, text := ask("Bearer " + strings.TrimSpace(string(token))); status != 200 || text != "user:token" {
		t.Errorf("with the token: %d %s", status, text)
	}
	for _, wrong := range []string{"", "Bearer ", "Bearer x", strings.TrimSpace(string(token))} {
		status, text := ask(wrong)
		var e volvox.Error
		if err := json.Unmarshal([]byte(text), &e); err != nil || status != http.StatusForbidden || e.Code != volvox.Denied {
			t.Errorf("with %q: %d %s", wrong, status, text)
		}
	}
	if _, err := api.ListenTCP(strings.TrimPrefix(l.Address(), "http://"), file); volvox.CodeOf(err) != volvox.PortTaken {
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestListenTCPRefuses(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("0123456789abcdef\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address, file string
		want          volvox.Code
	}{
		{"0.0.0.0:0", filepath.Join(dir, "t"), volvox.BadInput},
		{"[::]:0", filepath.Join(dir, "t"), volvox.BadInput},
		{"example.com:80", filepath.Join(dir, "t"), volvox.BadInput},
		{"7070", filepath.Join(dir, "t"), volvox.BadInput},
		{"127.0.0.1:http-but-not", filepath.Join(dir, "t"), volvox.BadInput},
		{"127.0.0.1:0", open, volvox.Denied},
		{"127.0.0.1:0", short, volvox.BadFile},
	} {
		l, err := api.ListenTCP(c.address, c.file)
		if volvox.CodeOf(err) != c.want {
			t.Errorf("%s with %s: %v, want %s", c.address, filepath.Base(c.file), err, c.want)
		}
		if l != nil {
			l.Close()
		}
	}
}

// TestServeLetsRequestsEnd: a request that is being answered when the server
// stops still gets its answer.
func TestServeLetsRequestsEnd(t *testing.T) {
	l, err := api.Listen(filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	stop := serve(t, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		select {
		case <-leave:
		case <-time.After(apitest.Deadline):
		}
		io.WriteString(w, "done")
	}))
	answer := make(chan string, 1)
	c := over(t, l.Address())
	go func() {
		res, err := c.Get("http://x/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	close(leave)
	if got := <-answer; got != "done" {
		t.Errorf("answered %q", got)
	}
	<-stopped
	if err := l.Serve(context.Background(), whoami, nil); err == nil {
		t.Error("it serves twice")
	}
}
