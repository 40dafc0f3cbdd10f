package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/volvox-os/volvox/store"
)

// childDir tells a test binary that it is the process to be killed.
const (
	childDir  = "STORETEST_CHILD_DIR"
	childLies = "STORETEST_CHILD_LIES"
)

var ledger = schema("ledger", `
CREATE TABLE entries (writer BIGINT NOT NULL, number BIGINT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (writer, number));
CREATE TABLE totals (writer BIGINT PRIMARY KEY, number BIGINT NOT NULL);`)

const crashWriters = 6

// Main is the TestMain of a driver that calls RunCrashes.
func Main(m *testing.M, open Open) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeLedger(open, dir, os.Getenv(childLies) != ""))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeLedger writes until it is killed, and says on stdout what was
// acknowledged. One that lies acknowledges now and then what it undid.
func writeLedger(open Open, dir string, lies bool) error {
	ctx := context.Background()
	db, err := open(dir, Limits{})
	if err != nil {
		return err
	}
	if err := db.Migrate(ctx, ledger); err != nil {
		return err
	}
	failed := make(chan error)
	for w := range crashWriters {
		go func() {
			for {
				n, err := writeEntry(ctx, db, w, lies)
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d %d\n", w, n)
			}
		}()
	}
	return <-failed
}

func writeEntry(ctx context.Context, db *store.DB, w int, lies bool) (n int, err error) {
	err = db.Update(ctx, func(tx *store.Tx) error {
		last, err := store.All[int](tx, "SELECT number FROM totals WHERE writer = $1", w)
		if err != nil {
			return err
		}
		if n = 1; len(last) == 1 {
			n = last[0] + 1
		}
		if _, err := tx.Exec("INSERT INTO totals (writer, number) VALUES ($1, $2) ON CONFLICT (writer) DO UPDATE SET number = excluded.number", w, n); err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO entries (writer, number, note) VALUES ($1, $2, $3)", w, n, fmt.Sprint("entry ", n)); err != nil {
			return err
		}
		if lies && n%20 == 0 {
			return errUndo
		}
		return nil
	})
	if errors.Is(err, errUndo) {
		err = nil
	}
	return n, err
}

// RunCrashes kills a process that writes, again and again, and holds what is
// there against what was acknowledged.
func RunCrashes(t *testing.T, open Open, kills int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	acked := map[int]int{}
	for kill := range kills {
		runChild(t, dir, false, 1+rng.IntN(1500), acked)
		if err := checkLedger(t, open, dir, acked); err != nil {
			t.Fatalf("after %d kills: %v", kill+1, err)
		}
	}
	dir, acked = t.TempDir(), map[int]int{}
	runChild(t, dir, true, 1000, acked)
	if err := checkLedger(t, open, dir, acked); err == nil {
		t.Fatal("an acknowledgement without a commit was not noticed")
	}
}

// runChild runs this test binary as the writer, kills it after so many
// acknowledgements and takes down the last one of each writer.
func runChild(t *testing.T, dir string, lies bool, after int, acked map[int]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	if lies {
		cmd.Env = append(cmd.Env, childLies+"=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stop := sync.OnceFunc(func() { cmd.Process.Kill() })
	defer cmd.Wait()
	defer stop()
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var w, number int
		if _, err := fmt.Sscan(lines.Text(), &w, &number); err != nil {
			continue // cut off by the kill
		}
		if number > acked[w] {
			acked[w] = number
		}
		if n == after {
			stop()
		}
	}
}

// checkLedger opens the kernel and checks that everything acknowledged is
// there, whole, with its history.
func checkLedger(t *testing.T, open Open, dir string, acked map[int]int) error {
	t.Helper()
	db := reopen(t, open, dir, Limits{}, ledger)
	defer db.Close()
	type entry struct {
		Writer int `json:"writer"`
		Number int `json:"number"`
	}
	totals := map[int]int{}
	for _, e := range all[entry](t, db, "SELECT writer, number FROM totals") {
		totals[e.Writer] = e.Number
	}
	count := map[int]int{}
	for _, e := range all[entry](t, db, "SELECT writer, number FROM entries ORDER BY writer, number") {
		if count[e.Writer]++; e.Number != count[e.Writer] {
			return fmt.Errorf("writer %d has no entry %d", e.Writer, count[e.Writer])
		}
	}
	for w := range crashWriters {
		switch {
		case totals[w] < acked[w]:
			return fmt.Errorf("writer %d was told %d, there is %d", w, acked[w], totals[w])
		case totals[w] > acked[w]+1:
			return fmt.Errorf("writer %d was told %d, there is %d", w, acked[w], totals[w])
		case totals[w] != count[w]:
			return fmt.Errorf("writer %d has %d entries, its total says %d", w, count[w], totals[w])
		}
		past := all[int](t, db, "SELECT count(*) FROM totals_history WHERE writer = $1", w)
		if totals[w] > 0 && past[0] != totals[w]-1 {
			return fmt.Errorf("writer %d has %d former versions of %d", w, past[0], totals[w])
		}
		acked[w] = totals[w] // what was there is there from now on
	}
	gaps := all[int](t, db, "SELECT max(tx) - min(tx) + 1 - count(*) FROM transactions")
	if gaps[0] != 0 {
		return fmt.Errorf("%d transactions have no record", gaps[0])
	}
	return nil
}
