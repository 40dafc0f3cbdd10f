package agent

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// shared is a buffer that is read while it is written.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Whoever follows a log sees every line once, however often it is rotated.
func TestFollowAcrossRotation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLogFile(filepath.Join(t.TempDir(), "box.log"))
	ctx, stop := context.WithCancel(t.Context())
	var got shared
	var followers sync.WaitGroup
	followers.Go(func() {
		if err := l.copy(ctx, &got, -1, true, nil); err != nil {
			t.Error(err)
		}
	})
	var want strings.Builder
	var began []int // bytes before each rotation
	for n := range 300 {
		line := fmt.Sprintf("line %d %s\n", n, strings.Repeat("x", random.IntN(200)))
		want.WriteString(line)
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if random.IntN(10) == 0 {
			// The follower may be behind by as many files as are kept.
			if began = append(began, want.Len()); len(began) > 3 {
				eventually(t, "the follower is too slow", func() string {
					if len(got.String()) < began[len(began)-3] {
						return "it is far behind"
					}
					return ""
				})
			}
			if err := l.rotate(int64(random.IntN(300)), 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "what was followed", func() string {
		if got.String() == want.String() {
			return ""
		}
		return fmt.Sprintf("%d bytes of %d", len(got.String()), want.Len())
	})
	stop()
	followers.Wait()
	if left := left(filepath.Dir(l.path)); len(left) > 4 {
		t.Errorf("too many files are kept: %v", left)
	}
}

// The last lines are found, across files.
func TestLastLines(t *testing.T) {
	l := newLogFile(filepath.Join(t.TempDir(), "box.log"))
	copied := func(lines int) string {
		var b bytes.Buffer
		if err := l.copy(t.Context(), &b, lines, false, nil); err != nil {
			t.Error(err)
		}
		return b.String()
	}
	if got := copied(10); got != "" {
		t.Errorf("a log that is not there has %q", got)
	}
	for n := range 9 {
		fmt.Fprintf(l, "%d\n", n)
		if n%3 == 2 {
			if err := l.rotate(1, 5); err != nil {
				t.Fatal(err)
			}
		}
	}
	for lines, want := range map[int]string{-1: "012345678", 0: "", 1: "8", 3: "678", 4: "5678", 7: "2345678", 9: "012345678", 99: "012345678"} {
		if got := strings.ReplaceAll(copied(lines), "\n", ""); got != want {
			t.Errorf("the last %d lines are %q, not %q", lines, got, want)
		}
	}
	fmt.Fprint(l, strings.Repeat("y", 200_000)+"\nhalf")
	for lines, want := range map[int]int{1: 4, 2: 200_005, 3: 200_007} {
		if got := len(copied(lines)); got != want {
			t.Errorf("the last %d lines have %d bytes, not %d", lines, got, want)
		}
	}
	// What nobody wrote a line to in this life is found after a restart.
	again := newLogFile(l.path)
	var b bytes.Buffer
	if err := again.copy(t.Context(), &b, 6, false, nil); err != nil || !strings.HasPrefix(b.String(), "5\n6\n7\n8\n") {
		t.Errorf("%q, %v", b.String()[:20], err)
	}
	if err := l.remove(); err != nil {
		t.Error(err)
	}
	if left := left(filepath.Dir(l.path)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// An instance's log holds what its program and its actions print, and what
// the agent notes; following it ends with the instance.
func TestLogs(t *testing.T) {
	w := newWorld(t)
	w.options.LogBytes, w.options.LogKeep = 200, 2
	w.start()
	id := w.wish("a", instance.Halt, spec())
	w.reaches("a", volvox.Stopped, false)
	var followed shared
	var follower sync.WaitGroup
	follower.Go(func() {
		if err := w.agent.Logs(t.Context(), id, true, -1, &followed); err != nil {
			t.Error(err)
		}
	})
	w.act(id, "init", instance.InJob, time.Minute, "note", "init")
	w.result("init")
	w.want(id, instance.Run, nil)
	w.reaches("a", volvox.Running, true)
	w.act(id, "setup", instance.InEngine, time.Minute, "note", "setup")
	w.result("setup")
	w.runtime.crash(string(id), false)
	w.control.await(t, "it was restarted", func(rows map[string]instance.Instance) bool { return rows["a"].Restarts == 1 && rows["a"].Ready })
	want := []string{"noted init", "volvox: action init ended with exit code 0", "serving", "noted setup", "volvox: action setup ended with exit code 0",
		"volvox: the program ended with exit code 137; it is started again in 200ms", "serving"}
	eventually(t, "the log", func() string {
		if got := followed.String(); got != strings.Join(want, "\n")+"\n" {
			return got
		}
		return ""
	})
	w.agent.rotate()
	if left := left(w.data + "/logs"); len(left) != 2 {
		t.Errorf("after a rotation there are %v", left)
	}
	var b bytes.Buffer
	if err := w.agent.Logs(t.Context(), id, false, 2, &b); err != nil || b.String() != strings.Join(want[5:], "\n")+"\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	w.want(id, instance.Remove, nil)
	w.disappears("a")
	follower.Wait()
	if _, err := os.Stat(w.data + "/logs/" + string(id) + ".log.1"); err == nil {
		t.Error("an old log is left")
	}
	eventually(t, "the agent still knows it", func() string {
		if err := w.agent.Logs(t.Context(), id, false, 1, &b); volvox.CodeOf(err) != volvox.NotFound {
			return fmt.Sprint(err)
		}
		return ""
	})
}
