package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
)

// prepare waits until a member is stopped with everything that it needs.
func (m maker) prepare(ctx context.Context, st step) error {
	_, err := m.await(ctx, memberName(m.Name, st.Part, st.Ordinal), "prepared", m.createLimit, func(i instance.Instance) bool {
		return i.Phase == volvox.Stopped || i.Phase == volvox.Running
	})
	return err
}

// start wishes that a member runs and waits until it is ready. One that is
// not says why in its error, since it is removed then, and its log with it.
func (m maker) start(ctx context.Context, st step) error {
	name := memberName(m.Name, st.Part, st.Ordinal)
	err := m.db.Update(ctx, func(tx *store.Tx) error {
		if _, _, err := m.wished(tx); err != nil {
			return err
		}
		return instance.SetDesired(tx, m.Project, name, instance.Run)
	})
	if err != nil {
		return err
	}
	last, err := m.await(ctx, name, "ready", m.startLimit, func(i instance.Instance) bool { return i.Phase == volvox.Running && i.Ready })
	var e *volvox.Error
	if errors.As(err, &e) && e.Code != volvox.Cancelled && last.ID != "" {
		return e.Because("%s%s", e.Cause(), m.printed(ctx, last))
	}
	return err
}

// printedLines and printedBytes bound what an error tells of what a member
// printed.
const (
	printedLines = 5
	printedBytes = 1024
)

// printed is what a member printed last, to go behind a cause.
func (m maker) printed(ctx context.Context, i instance.Instance) string {
	if m.output == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := m.output(ctx, i.ID, printedLines)
	text = strings.ToValidUTF8(strings.TrimSpace(text), "�")
	switch {
	case err != nil:
		m.log.Warn("what a member printed cannot be read", "instance", i.Name, "error", err)
		return ""
	case text == "":
		return "; it has printed nothing"
	case len(text) > printedBytes:
		text = "…" + strings.ToValidUTF8(text[len(text)-printedBytes:], "")
	}
	return "; it printed last:\n" + text
}

// await waits until the facts of a member, as of its present wish, are what
// done wants, and returns them. A member that is Failed, that goes away, or
// that reports nothing new for as long as quiet, ends the wait.
func (m maker) await(ctx context.Context, name, what string, quiet time.Duration, done func(instance.Instance) bool) (last instance.Instance, err error) {
	limited, cancel := context.WithDeadline(ctx, m.until)
	defer cancel()
	silence := time.AfterFunc(quiet, cancel)
	defer silence.Stop()
	_, err = m.instances.WaitInstances(limited, instance.Filter{Project: m.Project, Cluster: m.Name, Names: []string{name}},
		func(found []instance.Instance) (bool, error) {
			if len(found) == 0 || found[0].Desired == instance.Remove {
				return false, m.deleted()
			}
			if !reflect.DeepEqual(last, found[0]) {
				silence.Reset(quiet)
			}
			last = found[0]
			if last.Observed < last.Generation {
				return false, nil
			}
			if last.Phase == volvox.Failed {
				return false, failure(last)
			}
			return done(last), nil
		})
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return last, err
	}
	within := "within " + m.createLimit.String()
	if errors.Is(limited.Err(), context.Canceled) {
		within = fmt.Sprintf("and nothing about it changed for %s", quiet)
	}
	return last, volvox.Errorf(volvox.Timeout, "%s was not %s %s", name, what, within).About(ref(m.Project, m.Name)).
		Because("%s", condition(last)).WithTry("try again; volvox doctor checks the machine")
}

// condition is how a member is that is waited for, in words.
func condition(i instance.Instance) string {
	switch {
	case i.Phase == volvox.Running && i.Message == "" && i.Role == "":
		return "it is Running, and its probe has said nothing"
	case i.Phase == volvox.Running && i.Message == "":
		return fmt.Sprintf("it is Running, and its probe says that it is %s and not ready", i.Role)
	case i.Phase == volvox.Running:
		return "it is Running, and its probe said last: " + i.Message
	case i.Message != "":
		return fmt.Sprintf("it is %s: %s", i.Phase, i.Message)
	}
	return fmt.Sprintf("it is %s", cmp.Or(i.Phase, volvox.Pending))
}

// failure is why a member is Failed, as an error about its cluster.
func failure(i instance.Instance) *volvox.Error {
	code := i.Code
	if code == "" {
		code = volvox.Internal
	}
	err := volvox.Errorf(code, "%s failed", i.Name).About(ref(i.Project, i.Cluster)).Because("%s", i.Message)
	if doc, ok := code.Explain(); ok {
		err = err.WithTry("%s", doc.Try)
	}
	return err
}
