package volvox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Error is the one error that people and programs see: what failed, why, and
// what to try, under a stable [Code] that `volvox explain` documents.
//
// Make one with [Errorf]; inside a package wrap with fmt.Errorf and %w, and
// let the place that knows what the person asked for make the Error.
type Error struct {
	Code Code
	Op   string // the operation, as in "database.create"; may be empty
	Ref  Ref    // the thing concerned; may be empty
	What string // what failed, in one clause
	Why  string // the cause in words; Err is used when it is empty
	Try  []string
	Err  error // the underlying error; may be nil
}

// Errorf returns an Error that says what failed. A %w in the format becomes
// its cause and is not printed in What's place.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, What: fmt.Sprintf(format, args...)}
}

// Because sets the cause in words.
func (e *Error) Because(format string, args ...any) *Error {
	e.Why = fmt.Sprintf(format, args...)
	return e
}

// From sets the underlying error.
func (e *Error) From(err error) *Error { e.Err = err; return e }

// WithTry adds one thing to try, a command where there is one.
func (e *Error) WithTry(format string, args ...any) *Error {
	e.Try = append(e.Try, fmt.Sprintf(format, args...))
	return e
}

// WithOp names the operation.
func (e *Error) WithOp(op string) *Error { e.Op = op; return e }

// About names the thing concerned.
func (e *Error) About(r Ref) *Error { e.Ref = r; return e }

// Cause is why it failed, in words; empty when nothing is known beyond What.
func (e *Error) Cause() string {
	if e.Why != "" {
		return e.Why
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return ""
}

// Kind is the class of the error's code.
func (e *Error) Kind() Kind { return e.Code.Kind() }

// Error is "what: cause".
func (e *Error) Error() string {
	parts := []string{e.What}
	if c := e.Cause(); c != "" {
		parts = append(parts, c)
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// Is matches another Error of the same code, so that
// errors.Is(err, &Error{Code: NotFound}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.What == ""
}

// wireError is the form of an Error in JSON, on the API and in -o json.
type wireError struct {
	Code      Code     `json:"code"`
	Message   string   `json:"message"`
	Cause     string   `json:"cause,omitempty"`
	Hints     []string `json:"hints,omitempty"`
	Retryable bool     `json:"retryable"`
	Op        string   `json:"op,omitempty"`
	Ref       *Ref     `json:"ref,omitempty"`
}

// MarshalJSON writes {code, message, cause, hints, retryable, op, ref}.
func (e *Error) MarshalJSON() ([]byte, error) {
	w := wireError{Code: e.Code, Message: e.What, Cause: e.Cause(), Hints: e.Try, Retryable: e.Kind().Retryable(), Op: e.Op}
	if e.Ref != (Ref{}) {
		w.Ref = &e.Ref
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote; the underlying error has become
// words.
func (e *Error) UnmarshalJSON(b []byte) error {
	var w wireError
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*e = Error{Code: w.Code, Op: w.Op, What: w.Message, Why: w.Cause, Try: w.Hints}
	if w.Ref != nil {
		e.Ref = *w.Ref
	}
	return nil
}

// AsError returns err as an Error: itself if it is or wraps one, otherwise
// one with code E_CANCELLED, E_TIMEOUT or E_INTERNAL. nil stays nil.
func AsError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return Errorf(Cancelled, "cancelled").From(err)
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(Timeout, "took too long").From(err)
	default:
		return Errorf(Internal, "something unexpected failed").From(err)
	}
}

// CodeOf returns the code of err, empty for nil.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return ""
}

// IsKind says whether err is of the kind.
func IsKind(err error, k Kind) bool { return err != nil && AsError(err).Kind() == k }
