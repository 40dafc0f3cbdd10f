package workflow_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

const (
	childDirectory = "WORKFLOW_TEST_DIRECTORY" // makes the test binary a child that runs workflows there
	childFault     = "WORKFLOW_TEST_FAULT"     // what is planted in it
	manyWorkflows  = 12
	manyRounds     = 16
)

// childMain runs workflows until all have ended. It says on its output, line
// by line, which steps it finds recorded and which bodies run; the parent
// reads that until it kills it.
func childMain(dir string) int {
	ctx := context.Background()
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) } // one write for each line
	if err := childRun(ctx, dir, os.Getenv(childFault), say); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	say("all ended")
	return 0
}

func childRun(ctx context.Context, dir, fault string, say func(string, ...any)) error {
	db, err := openIn(ctx, dir)
	if err != nil {
		return err
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`SELECT workflow, name FROM steps WHERE kind = 'step'`) {
			var id, name string
			if err == nil {
				err = row.Scan(&id, &name)
			}
			if err != nil {
				return err
			}
			say("recorded %s %s", id, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The fault: a transaction whose writes and record are two commits.
	transaction := workflow.Transaction
	if fault == "two commits" {
		transaction = func(ctx workflow.Context, name string, f func(tx *store.Tx) error) error {
			return do(ctx, name, func(c context.Context) error { return db.Update(c, f) })
		}
	}
	w := workflow.Define("many", func(ctx workflow.Context, rounds int) (int, error) {
		for i := range rounds {
			name := fmt.Sprint("step-", i)
			if err := do(ctx, name, func(context.Context) error { say("ran %s %s", ctx.ID(), name); return nil }); err != nil {
				return i, err
			}
			name = fmt.Sprint("transaction-", i)
			if err := transaction(ctx, name, func(tx *store.Tx) error { return effect(tx, ctx.ID(), name) }); err != nil {
				return i, err
			}
			if i == rounds/2 {
				if err := workflow.Sleep(ctx, 5*time.Millisecond); err != nil {
					return i, err
				}
			}
		}
		return rounds, nil
	})
	e, err := workflow.New(db, workflow.Options{Executor: "child", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}, w)
	if err != nil {
		return err
	}
	say("starting")
	if err := e.Start(ctx); err != nil {
		return err
	}
	var handles []*workflow.Handle[int]
	for i := range manyWorkflows {
		h, err := w.Start(ctx, e, manyRounds, workflow.ID(fmt.Sprint("many-", i)))
		if err != nil {
			return err
		}
		handles = append(handles, h)
	}
	for _, h := range handles {
		if n, err := h.Result(ctx); err != nil || n != manyRounds {
			return fmt.Errorf("%s returned %d, %w", h.ID(), n, err)
		}
	}
	return e.Stop(ctx)
}

// life is what a parent knows of all lives of its child.
type life struct {
	recorded map[string]bool // steps found recorded at the beginning of a life
	faults   []string
}

// live runs the child, kills it after it has said so many lines (never, when
// negative), and reports whether it came to its end.
func (l *life) live(t *testing.T, dir, fault string, lines int) bool {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), childDirectory+"="+dir, childFault+"="+fault)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := l.listen(cmd, out, lines)
	err = cmd.Wait()
	if lines < 0 && (err != nil || !ended) {
		t.Fatalf("the child's last life: %v\n%s", err, &complaints)
	}
	return ended
}

func (l *life) listen(cmd *exec.Cmd, out io.Reader, lines int) (ended bool) {
	ran := map[string]int{}
	said := 0
	for scan := bufio.NewScanner(out); scan.Scan(); {
		what, step, _ := strings.Cut(scan.Text(), " ")
		switch what {
		case "recorded":
			l.recorded[step] = true
		case "starting":
			said++
		case "ran":
			said++
			if ran[step]++; ran[step] > 1 || l.recorded[step] {
				l.faults = append(l.faults, fmt.Sprintf("%s ran %d times in this life; recorded before: %v", step, ran[step], l.recorded[step]))
			}
		case "all":
			ended = true
		}
		if said == lines {
			cmd.Process.Kill() // and read on: what it said before its death counts
		}
	}
	return ended
}

// check looks at what is there in the end.
func (l *life) check(t *testing.T, dir string) {
	t.Helper()
	db, err := openIn(testContext(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := newEngine(t, db, "parent")
	for i := range manyWorkflows {
		id := fmt.Sprint("many-", i)
		if n := infoOf(t, e, id); n.Status != workflow.Succeeded {
			l.faults = append(l.faults, fmt.Sprintf("%s is %s", id, n.Status))
		}
		if n := len(stepsOf(t, e, id)); n != 2*manyRounds+1 {
			l.faults = append(l.faults, fmt.Sprintf("%s has %d steps", id, n))
		}
		count := map[string]int{}
		for _, step := range effectsOf(t, db, id) {
			count[step]++
		}
		for round := range manyRounds {
			if step := fmt.Sprint("transaction-", round); count[step] != 1 {
				l.faults = append(l.faults, fmt.Sprintf("%s %s has %d effects", id, step, count[step]))
			}
		}
	}
}

// TestKill kills a process that runs workflows, with SIGKILL at random
// moments, starts it again each time, and looks at what it did.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	kill := func(t *testing.T, fault string, times int) []string {
		dir := t.TempDir()
		l := &life{recorded: map[string]bool{}}
		killed, ended := 0, false
		for killed < times && !ended {
			if ended = l.live(t, dir, fault, 1+random.IntN(manyWorkflows*manyRounds/times)); !ended {
				killed++
			}
		}
		l.live(t, dir, fault, -1)
		l.check(t, dir)
		t.Logf("killed %d times, %d faults", killed, len(l.faults))
		return l.faults
	}
	t.Run("exactly once", func(t *testing.T) {
		if faults := kill(t, "", 20); len(faults) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(faults, "\n"))
		}
	})
	t.Run("planted", func(t *testing.T) {
		for range 5 {
			if faults := kill(t, "two commits", 10); len(faults) > 0 {
				return
			}
		}
		t.Errorf("seed %d: effects and records in two commits were not noticed", seed)
	})
}
