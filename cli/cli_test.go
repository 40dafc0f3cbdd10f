package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api/apitest"
	"github.com/volvox-os/volvox/cli"
	"github.com/volvox-os/volvox/client"
)

var update = flag.Bool("update", false, "write the generated files anew")

// socketVariable tells the program of the tests where the computer is.
const socketVariable = "VOLVOX_TEST_SOCKET"

// checked is the tests, and then a look for goroutines that they left.
type checked struct{ *testing.M }

func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(checked{m}, map[string]func(){
		"volvox": func() {
			os.Exit(cli.Run(context.Background(), os.Args[1:], cli.Std(), hooks(os.Getenv(socketVariable))))
		},
	})
}

// hooks reach the computer on a socket, and say what else they are asked for.
func hooks(socket string) cli.Hooks {
	return cli.Hooks{
		Address: func(string) (string, error) { return socket, nil },
		Up: func(_ context.Context, o cli.UpOptions) error {
			fmt.Fprintf(o.Talk, "up data=%s network=%s listen=%s name=%s\n", o.Data, o.Network, o.Listen, o.Name)
			o.Ready(client.Status{Ready: true, Machine: "m1", Data: o.Data, API: "/run/s", Network: "100.64.0.0/16", Version: "test"})
			return nil
		},
		Down: func(_ context.Context, o cli.DownOptions) error {
			fmt.Fprintf(o.Talk, "down data=%s purge=%v\n", o.Data, o.Purge)
			return nil
		},
		Doctor: func(_ context.Context, data string) ([]client.Check, error) {
			checks := []client.Check{{Name: "clock", State: "ok", Message: "in step"}, {Name: "disk", State: "warn", Message: "nearly full", Try: "free some"}}
			if strings.HasSuffix(data, "sick") {
				checks = append(checks, client.Check{Name: "runc", State: "fail", Message: "not found", Try: "apt-get install runc"})
			}
			return checks, nil
		},
	}
}

// TestScripts runs testdata/*.txt. In them `vx` runs the program in this
// process: vx [exit=N] [in=FILE] [tty] ARGUMENTS. `computer` boots one;
// `hold` and `release` stop and free its agent, `fail CODE` lets it fail; `stop`
// and `begin` an instance end and start its program, as going down does.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			var c *apitest.Computer
			socket := filepath.Join(t.TempDir(), "none")
			testscript.Run(t, testscript.Params{
				Files:         []string{file},
				UpdateScripts: *update,
				Setup: func(e *testscript.Env) error {
					e.Setenv("PATH", e.WorkDir+"/bin"+string(os.PathListSeparator)+e.Getenv("PATH"))
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"computer": func(ts *testscript.TestScript, _ bool, _ []string) {
						c = apitest.Start(t)
						socket = c.Socket
						ts.Setenv(socketVariable, socket)
					},
					"hold":    func(*testscript.TestScript, bool, []string) { c.Twin.Hold() },
					"release": func(*testscript.TestScript, bool, []string) { c.Twin.Release() },
					"fail":    func(_ *testscript.TestScript, _ bool, args []string) { c.Twin.Fail(volvox.Code(args[0])) },
					"stop":    func(_ *testscript.TestScript, _ bool, args []string) { c.Twin.Stop(t, args[0]) },
					"begin":   func(_ *testscript.TestScript, _ bool, args []string) { c.Twin.Begin(t, args[0]) },
					"unready": func(*testscript.TestScript, bool, []string) { c.SetReady(false) },
					"vx": func(ts *testscript.TestScript, neg bool, args []string) {
						runScripted(ts, args, hooks(socket))
					},
				},
			})
		})
	}
}

func runScripted(ts *testscript.TestScript, args []string, h cli.Hooks) {
	want, in, tty := 0, "", false
	for len(args) > 0 {
		if n, err := fmt.Sscanf(args[0], "exit=%d", &want); n == 1 && err == nil {
		} else if file, ok := strings.CutPrefix(args[0], "in="); ok {
			in = ts.ReadFile(file)
		} else if args[0] == "tty" {
			tty = true
		} else {
			break
		}
		args = args[1:]
	}
	env := map[string]string{}
	for _, name := range []string{"VOLVOX_DATA", "NO_COLOR", "TERM"} {
		env[name] = ts.Getenv(name)
	}
	var out, talk bytes.Buffer
	code := cli.Run(context.Background(), args, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &talk,
		InTTY: tty, OutTTY: tty, ErrTTY: tty, Getenv: func(k string) string { return env[k] }}, h)
	ts.Stdout().Write(out.Bytes())
	ts.Stderr().Write(talk.Bytes())
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, out.String(), talk.String())
	}
}

// run runs the program once and returns its exit code and what it printed.
func run(ctx context.Context, h cli.Hooks, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	code = cli.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk, Getenv: func(string) string { return "" }}, h)
	return code, out.String(), talk.String()
}

const referenceFile = "../docs/reference/cli.md"

// TestReferenceIsCurrent holds the generated reference to the commands.
func TestReferenceIsCurrent(t *testing.T) {
	var b bytes.Buffer
	cli.Reference(&b)
	if *update {
		if err := os.WriteFile(referenceFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what the commands say (%v); run: go test ./cli -run Reference -update", referenceFile, err)
	}
}

// signalled is a writer that tells when something was written to it.
type signalled struct {
	io.Writer
	seen chan struct{}
}

func (s signalled) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	select {
	case s.seen <- struct{}{}:
	default:
	}
	return n, err
}

// TestInterrupt: Ctrl-C while following a creation detaches, says how to go
// on, and the work is done all the same.
func TestInterrupt(t *testing.T) {
	c := apitest.Start(t)
	c.Twin.Hold()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out, talk bytes.Buffer
	w := signalled{&talk, make(chan struct{}, 1)}
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{"db", "create", "shop", "--engine", apitest.Engine, "--replicas", "2"},
			cli.Streams{In: strings.NewReader(""), Out: &out, Err: w, Getenv: func(string) string { return "" }}, hooks(c.Socket))
	}()
	select {
	case <-w.seen: // a step was told
	case n := <-code:
		t.Fatalf("ended with %d\n%s", n, talk.String())
	}
	cancel()
	if n := <-code; n != 7 || !strings.Contains(talk.String(), "E_STILL_RUNNING") || !strings.Contains(talk.String(), "volvox workflow follow") || out.Len() > 0 {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", n, out.String(), talk.String())
	}
	c.Twin.Release()
	n, stdout, stderr := run(context.Background(), hooks(c.Socket), "db", "wait", "shop")
	if n != 0 || stdout != "shop is Running\n" {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", n, stdout, stderr)
	}
	// Other commands are interrupted as a shell expects.
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	if n, _, stderr := run(ctx, hooks(c.Socket), "db", "list"); n != 130 || !strings.Contains(stderr, "interrupted") {
		t.Errorf("db list ended with %d: %s", n, stderr)
	}
}

// TestPrintedErrorsFit: a writer that fails is an error, not a success.
func TestPrintedErrorsFit(t *testing.T) {
	code := cli.Run(context.Background(), []string{"explain", "--output", "json"}, cli.Streams{In: strings.NewReader(""), Out: broken{}, Err: io.Discard,
		Getenv: func(string) string { return "" }}, cli.Hooks{})
	if code == 0 {
		t.Error("a full disk looks like success")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }
