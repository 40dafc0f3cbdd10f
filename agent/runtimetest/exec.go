package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
)

func (b *bench) exec(t *testing.T) {
	c := b.shell(t, "exec1", forever)
	c.Env = []string{"COLOUR=green", "SHAPE=round"}
	c.Dir = "/data"
	dir := data(t, &c)
	b.create(t, c)
	t.Run("Streams", func(t *testing.T) { b.execStreams(t, c.ID) })
	t.Run("Large", func(t *testing.T) { b.execLarge(t, c.ID) })
	t.Run("Same", func(t *testing.T) { b.execSame(t, c.ID) })
	t.Run("Background", func(t *testing.T) { b.execBackground(t, c.ID) })
	t.Run("Cancel", func(t *testing.T) { b.execCancel(t, c.ID, dir) })
	t.Run("Unanswered", func(t *testing.T) { b.execUnanswered(t, c.ID) })
	t.Run("Refused", func(t *testing.T) { b.execRefused(t, c) })
	if s := b.must(t, c.ID, agent.Up); s.OOMKilled {
		t.Errorf("status %+v", s)
	}
}

func (b *bench) execStreams(t *testing.T, id string) {
	var out, errs bytes.Buffer
	script := `cat; echo "$COLOUR $SHAPE $EXTRA $(id -u):$(id -g) $PWD"; echo wrong >&2; exit 5`
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "streams", Command: []string{"/bin/sh", "-c", script},
		Env: []string{"SHAPE=square", "EXTRA=more"}, Stdin: strings.NewReader("one\ntwo\n"), Stdout: &out, Stderr: &errs})
	want := fmt.Sprintf("one\ntwo\ngreen square more %d:%d /data\n", UID, UID)
	if err != nil || code != 5 || out.String() != want || errs.String() != "wrong\n" {
		t.Errorf("exit %d, %v, stdout %q, stderr %q", code, err, out.String(), errs.String())
	}
	code, err = b.r.Exec(t.Context(), id, agent.Exec{ID: "no streams", Command: []string{"/bin/sh", "-c", "cat; echo lost; echo lost >&2; kill -9 $$"}})
	if err != nil || code != 137 {
		t.Errorf("without streams: exit %d, %v", code, err)
	}
}

// execLarge: all of the input and of the output pass, and a writer that fails
// does not stop the command.
func (b *bench) execLarge(t *testing.T, id string) {
	input := strings.Repeat("0123456789abcdef", 1<<16)
	var out bytes.Buffer
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "large", Command: []string{"cat"}, Stdin: strings.NewReader(input), Stdout: &out})
	if err != nil || code != 0 || out.String() != input {
		t.Errorf("exit %d, %v, %d of %d bytes", code, err, out.Len(), len(input))
	}
	code, err = b.r.Exec(t.Context(), id, agent.Exec{ID: "broken", Command: []string{"/bin/sh", "-c", "cat && exit 9"}, Stdin: strings.NewReader(input), Stdout: brokenWriter{}})
	if err != nil || code != 9 {
		t.Errorf("with a broken writer: exit %d, %v", code, err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

// execSame: an ID is refused while its command runs, and free afterwards.
func (b *bench) execSame(t *testing.T, id string) {
	in, feed := io.Pipe()
	ready, say := io.Pipe()
	result := make(chan error, 1)
	go func() {
		defer say.Close()
		code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "same", Command: []string{"/bin/sh", "-c", "echo ready; cat; exit 6"}, Stdin: in, Stdout: say})
		if code != 6 && err == nil {
			err = fmt.Errorf("exit %d", code)
		}
		result <- err
	}()
	if _, err := ready.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	_, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "same", Command: []string{"true"}})
	wantCode(t, "the same ID", err, volvox.Busy)
	feed.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "same", Command: []string{"/bin/sh", "-c", "exit 8"}})
	if err != nil || code != 8 {
		t.Errorf("the same ID afterwards: exit %d, %v", code, err)
	}
}

// execBackground: a child that stays, with the output open, keeps nobody
// waiting.
func (b *bench) execBackground(t *testing.T, id string) {
	var out bytes.Buffer
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "background", Command: []string{"/bin/sh", "-c", "sleep 77 & echo left"}, Stdout: &out})
	if err != nil || code != 0 || out.String() != "left\n" {
		t.Errorf("exit %d, %v, %q", code, err, out.String())
	}
	if got := b.sh(t, id, "ps | grep -c '[s]leep 77'; true"); got != "1" {
		t.Errorf("%s children go on, want 1", got)
	}
}

// execCancel: when the context ends, the command ends with all its children:
// those in its tree, those that left it, and those in another session.
func (b *bench) execCancel(t *testing.T, id, dir string) {
	script := `
		trap '' TERM INT HUP
		sleep 1001 &
		(sleep 1002 & exec sleep 1003) &
		setsid sleep 1004 &
		sh -c 'setsid sh -c "sleep 1005 & sleep 1006" & exit 0'
		echo yes >/data/cancel
		sleep 1007`
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := b.r.Exec(ctx, id, agent.Exec{ID: "cancel", Command: []string{"/bin/sh", "-c", script}, Stdout: io.Discard})
		result <- err
	}()
	untilFile(t, filepath.Join(dir, "cancel"))
	count := func() string { return b.sh(t, id, "ps | grep -c '[s]leep 100'; true") }
	until(t, "all children run", func() bool { return count() >= "7" })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left := count(); left != "0" {
		t.Errorf("%s children left:\n%s", left, b.sh(t, id, "ps"))
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	os.Remove(filepath.Join(dir, "cancel"))
	if _, err := b.r.Exec(ctx, id, agent.Exec{ID: "cancelled before", Command: []string{"touch", "/data/cancel"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cancel")); err == nil {
		t.Error("a command was begun though its context had ended")
	}
}

// execUnanswered: input that never comes does not hold up the end.
func (b *bench) execUnanswered(t *testing.T, id string) {
	in, feed := io.Pipe()
	defer feed.Close()
	code, err := b.r.Exec(t.Context(), id, agent.Exec{ID: "unanswered", Command: []string{"/bin/sh", "-c", "exit 2"}, Stdin: in})
	if err != nil || code != 2 {
		t.Errorf("exit %d, %v", code, err)
	}
}

func (b *bench) execRefused(t *testing.T, c agent.Container) {
	_, err := b.r.Exec(t.Context(), "never-there", agent.Exec{ID: "x", Command: []string{"true"}})
	wantCode(t, "no such container", err, volvox.NotFound)
	_, err = b.r.Exec(t.Context(), c.ID, agent.Exec{ID: "x"})
	wantCode(t, "no command", err, volvox.BadInput)
	_, err = b.r.Exec(t.Context(), c.ID, agent.Exec{ID: "x", Command: []string{"/bin/no-such-program"}, Stdout: io.Discard})
	wantCode(t, "no program", err, volvox.RuntimeFailed)
	gone := b.shell(t, "exec2", "exit 0")
	b.create(t, gone)
	b.ended(t, gone.ID)
	_, err = b.r.Exec(t.Context(), gone.ID, agent.Exec{ID: "x", Command: []string{"true"}})
	wantCode(t, "an ended container", err, volvox.RuntimeFailed)
}
