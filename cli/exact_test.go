package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// TestExact: every command within a hint names the computer, and nothing else
// does.
func TestExact(t *testing.T) {
	a := &app{data: "/d"}
	a.root = a.command()
	a.data = "/d" // making the commands sets the flag's default
	for hint, want := range map[string]string{
		"volvox db show shop":                                "volvox --data /d db show shop",
		"wait; volvox db show shop says how far it is":       "wait; volvox --data /d db show shop says how far it is",
		"`volvox sql \"SELECT 1\"` and `volvox status` help": "`volvox --data /d sql \"SELECT 1\"` and `volvox --data /d status` help",
		"volvox up --data /other":                            "volvox up --data /other",
		"volvox explain E_BUSY":                              "volvox explain E_BUSY",
		"volvox db create --help":                            "volvox db create --help",
		"choose another name":                                "choose another name",
		"a newer volvox":                                     "a newer volvox",
	} {
		if got := a.exact(hint); got != want {
			t.Errorf("%q becomes %q, want %q", hint, got, want)
		}
	}
}

// TestProgressSaysOnce: what is tried again and again is said once where each
// line stays.
func TestProgressSaysOnce(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, paint: func(_ color, s string) string { return s }, said: map[string]bool{}}
	for _, message := range []string{"fetching", "no room", "fetching", "no room"} {
		p.progress(client.Progress{Ref: volvox.Ref{Name: "m"}, Message: message})
	}
	if got := out.String(); got != "  m: fetching\n  m: no room\n" {
		t.Errorf("said %q", got)
	}
}

// TestEachErrorSaysWhatToTry, also one that was made without.
func TestEachErrorSaysWhatToTry(t *testing.T) {
	for _, d := range volvox.Codes() {
		if d.Code == volvox.Cancelled {
			continue
		}
		var errs bytes.Buffer
		a := &app{Streams: Streams{Err: &errs, Getenv: func(string) string { return "" }}, output: "table"}
		a.root = a.command()
		if code := a.end(volvox.Errorf(d.Code, "it failed")); code != ExitCode(d.Kind) {
			t.Errorf("%s: exit %d", d.Code, code)
		}
		if !strings.Contains(errs.String(), "\ntry: ") {
			t.Errorf("%s: nothing to try:\n%s", d.Code, errs.String())
		}
	}
}

// TestValuesOfFlags are explained without the words of a parser.
func TestValuesOfFlags(t *testing.T) {
	for line, want := range map[string]string{
		"db create x --engine e --replicas two": `error: --replicas cannot be "two"`,
		"db create x --engine":                  "error: --engine needs a value",
		"db list -o":                            "error: --output needs a value",
		"down --yes=maybe":                      `error: --yes cannot be "maybe"`,
	} {
		var out, errs bytes.Buffer
		code := Run(context.Background(), strings.Fields(line), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, Hooks{})
		if code != exitUsage || !strings.HasPrefix(errs.String(), want+"\n") || strings.Contains(errs.String(), "strconv") {
			t.Errorf("%s: exit %d\n%s", line, code, errs.String())
		}
	}
}
