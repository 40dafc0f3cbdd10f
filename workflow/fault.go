package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/volvox-os/volvox"
)

// Reasons for which a run's contexts end.
var (
	errStopped = errors.New("the workflow engine is being stopped")
	errFenced  = errors.New("the workflow belongs to another executor now, or has ended")
)

// recorded is err as it will be read back from its record: so a workflow sees
// the same error when it runs and when it is replayed.
func recorded(err error) *volvox.Error {
	e := volvox.AsError(err)
	var own *volvox.Error
	if !errors.As(err, &own) && e.Code == volvox.Internal {
		e = volvox.Errorf(volvox.Internal, "%s", err.Error())
	}
	b, encodeErr := json.Marshal(e)
	var back volvox.Error
	if encodeErr != nil || json.Unmarshal(b, &back) != nil {
		return volvox.Errorf(e.Code, "%s", err.Error())
	}
	return &back
}

func encode(what string, v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, notSerializable(what, err)
	}
	return b, nil
}

func notSerializable(what string, err error) error {
	return volvox.Errorf(volvox.NotSerializable, "the %s cannot be kept as JSON", what).From(err).
		WithTry("use values of exported fields, no functions and no channels")
}

func cancelledError(id string) *volvox.Error {
	return volvox.Errorf(volvox.Cancelled, "workflow %s was cancelled", id)
}

// guard turns a panic of f into an error with its stack.
func guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(what, v)
		}
	}()
	return f()
}

const maxStack = 4 << 10 // bytes of a panic's stack that are kept

func panicError(what string, v any) error {
	_, stack, ok := strings.Cut(string(debug.Stack()), "panic(")
	if _, below, found := strings.Cut(stack, "\n"); ok && found {
		_, stack, _ = strings.Cut(below, "\n") // behind the two lines of panic itself
	}
	if len(stack) > maxStack {
		stack = stack[:maxStack] + "…"
	}
	return volvox.Errorf(volvox.Internal, "%s panicked: %v", what, v).Because("%s", strings.TrimSpace(stack))
}

// determinism is the error of a workflow whose code asks for something else
// than its record holds. call is empty when the code has returned.
func determinism(id string, seq int, call string, rec StepInfo) error {
	return volvox.Errorf(volvox.Determinism, "workflow %s took another path at step %d", id, seq).
		Because("the code %s, the record has %s %q", call, rec.Kind, rec.Name).
		WithTry("deploy the code that started it").
		WithTry("cancel it, and undo by hand what its steps have done")
}

// calledFrom is the source line, outside of this package, that is being run.
func calledFrom() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, packagePath+".") && f.File != "" {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "unknown source line"
		}
	}
}

const packagePath = "github.com/volvox-os/volvox/workflow"

// transient says whether a write that the kernel refused may succeed later as
// it is: the disk is full, or the kernel does not answer.
func transient(err error) bool {
	return volvox.IsKind(err, volvox.KindCapacity) || volvox.IsKind(err, volvox.KindUnavailable)
}

// isCancel says whether err is how a cancelled context looks.
func isCancel(err error) bool {
	return errors.Is(err, context.Canceled) || volvox.CodeOf(err) == volvox.Cancelled
}
