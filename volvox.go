// Package volvox holds the words that every part of the computer shares:
// what a thing is called ([Ref], [ID]), what state it is in ([Phase]), who
// does something ([Actor]) and what can go wrong ([Error], [Code]).
//
// It imports nothing but the standard library and stays small; a type that
// one service owns belongs to that service.
package volvox

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// Version of this program; the build sets it.
var Version = "dev"

// DefaultProject is the project of everything that names none.
const DefaultProject = "main"

// ID is a unique, time-ordered name made by the computer: 26 lower-case
// characters, 48 bits of milliseconds and then 80 bits of randomness.
type ID string

var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns an ID that no other call, on any machine, returns.
func NewID() ID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMilli())<<16)
	rand.Read(b[6:])
	return ID(idText.EncodeToString(b[:]))
}

// Ref names one thing of one kind in one project, as in "cluster main/shop".
type Ref struct {
	Kind    string `json:"kind"`
	Project string `json:"project,omitempty"`
	Name    string `json:"name"`
}

// String is "kind name", with the project before the name unless it is the
// default one.
func (r Ref) String() string {
	if r.Project == "" || r.Project == DefaultProject {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Project + "/" + r.Name
}

var nameText = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// CheckName says whether a person may give this name to a thing of the kind:
// a lower-case letter, then up to 31 letters, digits and dashes, no dash at
// the end. It is also a DNS label. The error has code E_BAD_NAME.
func CheckName(kind, name string) error {
	if nameText.MatchString(name) {
		return nil
	}
	return Errorf(BadName, "%q cannot be the name of a %s", name, kind).
		Because("a name starts with a lower-case letter, holds up to 32 lower-case letters, digits and dashes, and does not end with a dash").
		WithTry("use a name such as %q", suggestName(name))
}

func suggestName(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, name)
	clean = strings.Trim(clean, "-0123456789")
	if len(clean) > 32 {
		clean = strings.TrimRight(clean[:32], "-")
	}
	if !nameText.MatchString(clean) {
		return "shop"
	}
	return clean
}

// Phase is the state of a thing with a life: a machine, an instance, a
// cluster. The words are the same everywhere.
type Phase string

// The phases, in the order in which a life passes them.
const (
	Pending  Phase = "Pending"  // wished for, nothing done yet
	Creating Phase = "Creating" // being made
	Running  Phase = "Running"  // does what was asked
	Updating Phase = "Updating" // runs, and is being changed
	Stopping Phase = "Stopping" // being stopped; its data stays
	Stopped  Phase = "Stopped"  // stopped on purpose; its data is there
	Failed   Phase = "Failed"   // does not do what was asked; its message says why
	Deleting Phase = "Deleting" // being removed with its data
	Deleted  Phase = "Deleted"  // gone
)

// Phases returns all phases in order.
func Phases() []Phase {
	return []Phase{Pending, Creating, Running, Updating, Stopping, Stopped, Failed, Deleting, Deleted}
}

// Actor is who does something: "user:root", "system:agent", "workflow:ID".
// Every transaction records its actor.
type Actor string

// System is the actor of what the computer does by itself.
const System Actor = "system"

type actorKey struct{}

// WithActor returns a context in which everything is done by a.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns the actor of a context, [System] if none was set.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return System
}

// BootID identifies this boot of the machine's kernel; what lived only in
// memory or on tmpfs is gone when it differs.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
