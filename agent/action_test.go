package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// What exit codes, limits and answers come to, in both places.
func TestActionContract(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"stolen":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		command []string
		limit   time.Duration
		exit    int
		output  string
		log     string
		calls   int
	}{
		"done":         {command: []string{"exits", "0"}, calls: 1},
		"not apply":    {command: []string{"exits", "11"}, exit: 11, calls: 1},
		"in progress":  {command: []string{"exits", "10", "10", "10", "10", "10", "0"}, calls: 6},
		"transient":    {command: []string{"exits", "20", "20", "0"}, calls: 3},
		"too often":    {command: []string{"exits", "20"}, exit: 20, calls: 3},
		"permanent":    {command: []string{"exits", "30"}, exit: 30, calls: 1},
		"refused":      {command: []string{"exits", "40"}, exit: 40, calls: 1},
		"for ever":     {command: []string{"exits", "10"}, limit: 2800 * time.Millisecond, exit: 124, log: "ended after 2.8s", calls: 6},
		"hangs":        {command: []string{"hang"}, limit: 2 * time.Second, exit: 124, log: "ended after 2s"},
		"answers":      {command: []string{"answer", `{"a": [1]}`}, output: `{"a": [1]}`},
		"no json":      {command: []string{"answer", `{"a":`}, exit: 30, log: "not JSON"},
		"empty answer": {command: []string{"answer", ""}},
		"much":         {command: []string{"answer", `"` + strings.Repeat("x", maxOutput) + `"`}, exit: 30, log: "larger than"},
		"link":         {command: []string{"link", secret}, exit: 30, log: "cannot use"},
		"its input":    {command: []string{"context"}, output: `{"context":{"n":1},"env":"shop","length":19}`},
	} {
		for _, place := range []string{instance.InEngine, instance.InJob} {
			t.Run(name+"/"+place, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.start()
					desired, phase := instance.Run, volvox.Running
					if place == instance.InJob {
						desired, phase = instance.Halt, volvox.Stopped
					}
					id := w.wish("a", desired, spec())
					w.reaches("a", phase, place == instance.InEngine)
					if c.limit == 0 {
						c.limit = time.Minute
					}
					w.act(id, "act", place, c.limit, c.command...)
					r := w.result("act")
					if *r.Exit != c.exit || string(r.Output) != c.output || !strings.Contains(r.Log, c.log) {
						t.Errorf("it ended with %d, answer %s, log %q", *r.Exit, r.Output, r.Log)
					}
					if calls := strings.Count(w.file(id, "calls"), "\n"); calls != c.calls {
						t.Errorf("it was called %d times, not %d", calls, c.calls)
					}
					eventually(t, "a record is left", func() string { return strings.Join(left(w.data+"/actions"), " ") })
					w.stop()
				})
			})
		}
	}
}

func left(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Actions run one after the other, each once, however often agents come and
// go; a job goes on without an agent.
func TestActionsAcrossAgents(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.runtime.programs["wait"] = func(p *process) int {
		p.appendTo("/data/begun", p.args[0])
		select {
		case <-release:
			return answer(p, `{"waited":true}`)
		case <-p.Done():
			return 1
		}
	}
	w.start()
	id := w.wish("a", instance.Halt, spec())
	w.reaches("a", volvox.Stopped, false)
	w.act(id, "job", instance.InJob, time.Minute, "wait", "job")
	w.act(id, "later", instance.InJob, time.Minute, "note", "later")
	eventually(t, "the job does not begin", func() string {
		if w.file(id, "begun") == "" {
			return "nothing"
		}
		return ""
	})
	w.stop()
	w.want(id, instance.Run, nil) // the program waits for jobs that are there
	w.start()
	<-w.agent.Ready()
	w.stop()
	if w.running(id) {
		t.Error("the program was started while a job ran")
	}
	close(release) // it ends while no agent looks
	eventually(t, "the job does not end", func() string {
		if w.running(id + jobSuffix) {
			return "it runs"
		}
		return ""
	})
	w.start()
	if r := w.result("job"); *r.Exit != 0 || string(r.Output) != `{"waited":true}` {
		t.Errorf("the job ended with %d, %s, %q", *r.Exit, r.Output, r.Log)
	}
	w.reaches("a", volvox.Running, true)
	if got := w.file(id, "begun"); got != "job\n" {
		t.Errorf("begun: %q", got)
	}
	if w.file(id, "notes") != "" {
		t.Error("a job ran beside the program")
	}
	w.want(id, instance.Halt, nil)
	w.result("later")
	// One in the engine is run again.
	release = make(chan struct{})
	w.want(id, instance.Run, nil)
	w.reaches("a", volvox.Running, true)
	w.act(id, "exec", instance.InEngine, time.Minute, "wait", "exec")
	begun := func(want string) {
		eventually(t, "the action does not begin", func() string {
			if got := w.file(id, "begun"); got != want {
				return got
			}
			return ""
		})
	}
	begun("job\nexec\n")
	w.stop()
	w.start()
	begun("job\nexec\nexec\n")
	close(release)
	w.result("exec")
}

// A result that is recorded is told, and the action is not run again, though
// the agent died before it could tell.
func TestRecordedResult(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.wish("a", instance.Run, spec())
	w.reaches("a", volvox.Running, true)
	gate := make(chan struct{})
	w.runtime.programs["gate"] = func(p *process) int {
		p.appendTo("/data/notes", "gate")
		<-gate
		return 0
	}
	w.act(id, "act", instance.InEngine, time.Minute, "gate")
	eventually(t, "the action does not begin", func() string {
		if w.file(id, "notes") == "" {
			return "nothing"
		}
		return ""
	})
	w.control.change(func() { w.control.away = volvox.Errorf(volvox.Unavailable, "nobody answers") })
	close(gate)
	eventually(t, "no record", func() string {
		if len(left(w.data+"/actions")) == 0 {
			return "nothing"
		}
		return ""
	})
	w.stop()
	w.control.change(func() { w.control.away = nil })
	w.start()
	w.result("act")
	if got := w.file(id, "notes"); got != "gate\n" {
		t.Errorf("the action was run again: %q", got)
	}
	eventually(t, "the record is left", func() string { return strings.Join(left(w.data+"/actions"), " ") })
}

// An action whose instance is removed meanwhile does not hold that up.
func TestRemoveWhileActing(t *testing.T) {
	for _, place := range []string{instance.InEngine, instance.InJob} {
		t.Run(place, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			desired := map[string]instance.Desired{instance.InEngine: instance.Run, instance.InJob: instance.Halt}[place]
			id := w.wish("a", desired, spec())
			w.act(id, "act", place, time.Hour, "hang")
			eventually(t, "the action does not begin", func() string {
				if _, err := os.Stat(fmt.Sprintf("%s/instances/%s/run/%s", w.run, id, actionDir("act"))); err != nil {
					return err.Error()
				}
				return ""
			})
			w.want(id, instance.Remove, nil)
			w.disappears("a")
			w.nothingLeft()
		})
	}
}

// A job that cannot be started is timed out like any other.
func TestJobCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		id := w.wish("a", instance.Halt, spec())
		w.reaches("a", volvox.Stopped, false)
		began := time.Now()
		w.act(id, "act", instance.InJob, time.Minute, "no such program")
		r := w.result("act")
		if *r.Exit != instance.ExitTimedOut || !strings.Contains(r.Log, "no program") {
			t.Errorf("it ended with %d, %q", *r.Exit, r.Log)
		}
		if took := time.Since(began); took < time.Minute || took > 62*time.Second {
			t.Errorf("it took %s", took)
		}
		w.stop()
	})
}

// An engine that ends under an action has the action run again when it is
// back, and not for ever.
func TestActionEndsTheProgram(t *testing.T) {
	w := newWorld(t)
	w.runtime.programs["crasher"] = func(p *process) int {
		p.appendTo("/data/calls", "x")
		p.box.kill()
		<-p.Done()
		return 1
	}
	w.start()
	id := w.wish("a", instance.Run, spec())
	w.reaches("a", volvox.Running, true)
	w.act(id, "act", instance.InEngine, time.Minute, "crasher")
	if r := w.result("act"); *r.Exit != instance.ExitTransient || !strings.Contains(r.Log, "from outside") {
		t.Errorf("it ended with %d, %q", *r.Exit, r.Log)
	}
	if calls := strings.Count(w.file(id, "calls"), "x"); calls != tries {
		t.Errorf("it was called %d times", calls)
	}
}

// A result that cannot be written down is told all the same, and the action
// is not run again.
func TestResultWithoutRecord(t *testing.T) {
	for _, place := range []string{instance.InEngine, instance.InJob} {
		t.Run(place, func(t *testing.T) {
			w := newWorld(t)
			dir := w.data + "/actions"
			w.runtime.programs["break"] = func(p *process) int {
				p.appendTo("/data/notes", "x")
				if err := os.Remove(dir); err != nil {
					p.say("%v", err)
				}
				return answer(p, `{"a":1}`)
			}
			w.start()
			desired := map[string]instance.Desired{instance.InEngine: instance.Run, instance.InJob: instance.Halt}[place]
			id := w.wish("a", desired, spec())
			w.control.await(t, "it is there", func(rows map[string]instance.Instance) bool { return rows["a"].Observed > 0 })
			w.act(id, "act", place, time.Minute, "break")
			if r := w.result("act"); *r.Exit != 0 || string(r.Output) != `{"a":1}` {
				t.Errorf("it ended with %d, answer %s, log %q", *r.Exit, r.Output, r.Log)
			}
			if got := w.file(id, "notes"); got != "x\n" {
				t.Errorf("it ran %d times", strings.Count(got, "\n"))
			}
			w.want(id, instance.Run, nil)
			w.reaches("a", volvox.Running, true)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			w.want(id, instance.Remove, nil)
			w.disappears("a")
			w.nothingLeft()
		})
	}
}

// What a job prints is bounded while it runs, and the end of it is kept.
func TestJobLogIsBounded(t *testing.T) {
	w := newWorld(t)
	w.options.LogBytes = 10 << 10
	said := make(chan struct{})
	w.runtime.programs["chat"] = func(p *process) int {
		for range 5 {
			for n := range 1000 {
				p.say("line %04d of many", n)
			}
			said <- struct{}{}
			<-said
		}
		p.say("the end")
		return 0
	}
	w.start()
	id := w.wish("a", instance.Halt, spec())
	w.reaches("a", volvox.Stopped, false)
	w.act(id, "act", instance.InJob, time.Minute, "chat")
	for n := range 5 {
		<-said
		w.agent.rotate()
		if n < 4 {
			said <- struct{}{}
		}
	}
	var size int64
	found, _ := filepath.Glob(filepath.Join(w.data, "logs", string(id)+jobSuffix+".log*"))
	for _, f := range found {
		if s, err := os.Stat(f); err == nil {
			size += s.Size()
		}
	}
	if len(found) > 2 || size > 30<<10 {
		t.Errorf("%d files with %d bytes", len(found), size)
	}
	said <- struct{}{}
	r := w.result("act")
	if !strings.HasSuffix(r.Log, "line 0999 of many\nthe end\n") || len(r.Log) < logTail-100 {
		t.Errorf("its log is %d bytes: %q", len(r.Log), r.Log)
	}
	eventually(t, "its log is left", func() string {
		found, _ := filepath.Glob(filepath.Join(w.data, "logs", string(id)+jobSuffix+"*"))
		return strings.Join(found, " ")
	})
}

// Secrets whose files would be one, or none, are refused.
func TestSecretNames(t *testing.T) {
	w := newWorld(t)
	w.start()
	for n, names := range [][]string{{"a/admin", "b/admin"}, {"a/.."}, {""}} {
		s := spec()
		s.Secrets = names
		name := fmt.Sprint("a", n)
		w.wish(name, instance.Halt, s)
		if i := w.reaches(name, volvox.Failed, false); i.Code != volvox.BadInput {
			t.Errorf("with the secrets %q it is %+v", names, i)
		}
	}
}
