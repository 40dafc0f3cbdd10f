package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/volvox-os/volvox"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5
	exitCapacity    = 6
	exitRunning     = 7
	exitInterrupted = 130
)

// ExitCode is the exit code of a kind of error: the only place that maps the
// one to the other.
func ExitCode(k volvox.Kind) int {
	switch k {
	case "":
		return exitOK
	case volvox.KindInvalid:
		return exitUsage
	case volvox.KindNotFound:
		return exitNotFound
	case volvox.KindDenied:
		return exitDenied
	case volvox.KindConflict:
		return exitConflict
	case volvox.KindCapacity:
		return exitCapacity
	case volvox.KindTimeout:
		return exitRunning
	case volvox.KindCancelled:
		return exitInterrupted
	default:
		return exitFailed
	}
}

// exit is an exit code about which everything has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// end prints an error and returns the exit code.
func (a *app) end(err error) int {
	if err == nil {
		return exitOK
	}
	var code exit
	if errors.As(err, &code) {
		return int(code)
	}
	e := volvox.AsError(err)
	if doc, ok := e.Code.Explain(); ok && len(e.Try) == 0 && e.Code != volvox.Cancelled {
		e = e.WithTry("%s", doc.Try) // each error says what to try
	}
	if a.output == "json" || a.output == "jsonl" || jsonAsked(a.args) {
		b, _ := json.Marshal(e)
		fmt.Fprintf(a.Err, "%s\n", b)
	} else {
		a.printError(e)
	}
	return ExitCode(e.Kind())
}

// jsonAsked says whether a command line asks for JSON, also one that could not
// be read to its end.
func jsonAsked(args []string) bool {
	for i, arg := range args {
		if arg == "--" {
			return false
		}
		value := ""
		switch {
		case (arg == "-o" || arg == "--output") && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(arg, "--output="):
			value = strings.TrimPrefix(arg, "--output=")
		case strings.HasPrefix(arg, "-o"):
			value = strings.TrimPrefix(strings.TrimPrefix(arg, "-o"), "=")
		}
		if value == "json" || value == "jsonl" {
			return true
		}
	}
	return false
}

// printError prints what, cause and what to try.
func (a *app) printError(e *volvox.Error) {
	paint := a.painter(a.ErrTTY)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(a.Err, "%s %s\n", paint(dim, label), strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
		}
	}
	fmt.Fprintf(a.Err, "%s %s\n", paint(red, "error:"), e.What)
	line("cause:", e.Cause())
	for _, try := range e.Try {
		line("try:", a.exact(try))
	}
	if e.Code != volvox.Cancelled {
		line("code:", fmt.Sprintf("%s (volvox explain %s)", e.Code, e.Code))
	}
}

// exact makes the commands in a hint ones that can be copied: they name the
// data directory if that is not the default one.
func (a *app) exact(hint string) string {
	if a.data == "" || a.data == volvox.DefaultData || strings.Contains(hint, "--data") || strings.HasSuffix(hint, "--help") {
		return hint
	}
	words := strings.SplitAfter(hint, " ")
	for i := 0; i+1 < len(words); i++ {
		if before := strings.TrimRight(words[i], " "); before != "volvox" && before != "`volvox" {
			continue
		}
		name := strings.TrimRight(words[i+1], " ,;`")
		for _, c := range a.root.Commands() {
			if c.Name() == name && c.GroupID != groupHelp {
				words[i] += "--data " + a.data + " "
			}
		}
	}
	return strings.Join(words, "")
}
