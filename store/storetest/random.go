package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/volvox-os/volvox/store"
)

// world is what the table pairs should hold: key "k1/k2" to "n text".
type world map[string]string

// worldRow is a row of pairs.
type worldRow struct {
	K1   string  `json:"k1"`
	K2   int     `json:"k2"`
	N    *int    `json:"n"`
	Text string  `json:"text"`
	More *string `json:"more"`
}

const (
	pairsOne = `CREATE TABLE pairs (k1 TEXT NOT NULL, k2 BIGINT NOT NULL, n BIGINT, text TEXT NOT NULL DEFAULT '', PRIMARY KEY (k1, k2));`
	pairsTwo = `ALTER TABLE pairs ADD COLUMN more TEXT DEFAULT 'm';`
)

func readWorld(db viewer, more bool) (world, error) {
	query := "SELECT k1, k2, n, text FROM pairs"
	if more {
		query = "SELECT k1, k2, n, text, more FROM pairs"
	}
	found := world{}
	err := db.View(context.Background(), func(tx *store.Tx) error {
		rows, err := store.All[worldRow](tx, query)
		for _, r := range rows {
			text := "NULL"
			if r.N != nil {
				text = fmt.Sprint(*r.N)
			}
			key := fmt.Sprint(r.K1, "/", r.K2)
			if _, twice := found[key]; twice {
				return fmt.Errorf("%s is there twice", key)
			}
			if found[key] = text + " " + r.Text; more && (r.More == nil || *r.More != "m") {
				return fmt.Errorf("%s has no default", key)
			}
		}
		return err
	})
	return found, err
}

// checkWorlds compares what was kept of each moment with the past that the
// kernel shows now.
func checkWorlds(kept map[time.Time]world, read func(time.Time) (world, error)) error {
	for _, at := range slices.SortedFunc(maps.Keys(kept), time.Time.Compare) {
		got, err := read(at)
		if err != nil {
			return err
		}
		if !maps.Equal(got, kept[at]) {
			return fmt.Errorf("at %s the kernel had %v and shows %v", store.TimeText(at.UnixMicro()), kept[at], got)
		}
	}
	return nil
}

// testRandom does random operations on the kernel and on a map, with closures
// that are undone, a migration and a new start between, and compares the
// present with the map and every past with a copy kept of it.
func testRandom(t *testing.T, open Open) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	db := reopen(t, open, dir, Limits{}, schema("pairs", pairsOne))
	present, kept, more := world{}, map[time.Time]world{}, false
	for i := range 400 {
		switch {
		case i == 200:
			must(t, db.Migrate(context.Background(), schema("pairs", pairsOne, pairsTwo)))
			more = true
		case i == 300:
			must(t, db.Close())
			db = reopen(t, open, dir, Limits{}, schema("pairs", pairsOne, pairsTwo))
		}
		next := maps.Clone(present)
		undo := rng.IntN(5) == 0
		err := db.Update(context.Background(), func(tx *store.Tx) error {
			next = maps.Clone(present)
			for range 1 + rng.IntN(4) {
				if err := randomStep(rng, tx, next); err != nil {
					return err
				}
			}
			if undo {
				return errUndo
			}
			return nil
		})
		switch {
		case undo && errors.Is(err, errUndo):
		case err != nil:
			t.Fatal(err)
		default:
			present = next
		}
		got, err := readWorld(db, more)
		must(t, err)
		if !maps.Equal(got, present) {
			t.Fatalf("step %d: want %v, got %v", i, present, got)
		}
		_, at := lastTx(t, db)
		kept[at] = present
	}
	show := func(at time.Time) (world, error) { return readWorld(db.AsOf(at), more) }
	must(t, checkWorlds(kept, show))
	// A kernel that lost one version, or kept one too long, is noticed.
	if exists := slices.ContainsFunc(slices.Collect(maps.Values(kept)), func(w world) bool { return len(w) > 0 }); exists {
		lost := func(at time.Time) (world, error) {
			w, err := show(at)
			for _, key := range slices.Sorted(maps.Keys(w)) {
				delete(w, key)
				break
			}
			return w, err
		}
		late := func(at time.Time) (world, error) { return show(at.Add(-time.Microsecond)) }
		if checkWorlds(kept, lost) == nil || checkWorlds(kept, late) == nil {
			t.Fatal("a lost version was not noticed")
		}
	}
}

// randomStep does one operation on both.
func randomStep(rng *rand.Rand, tx *store.Tx, w world) error {
	k1, k2 := string(rune('a'+rng.IntN(4))), rng.IntN(4)
	key := fmt.Sprint(k1, "/", k2)
	n, text := rng.IntN(100), fmt.Sprint("t", rng.IntN(3))
	value := fmt.Sprint(n, " ", text)
	_, exists := w[key]
	switch rng.IntN(6) {
	case 0: // insert, replace
		_, err := tx.Exec("INSERT OR REPLACE INTO pairs (k1, k2, n, text) VALUES ($1, $2, $3, $4)", k1, k2, n, text)
		w[key] = value
		return err
	case 1: // insert, update
		_, err := tx.Exec(`INSERT INTO pairs (k1, k2, n, text) VALUES ($1, $2, $3, $4)
			ON CONFLICT (k1, k2) DO UPDATE SET n = excluded.n, text = excluded.text`, k1, k2, n, text)
		w[key] = value
		return err
	case 2:
		got, err := tx.Exec("DELETE FROM pairs WHERE k1 = $1 AND k2 = $2", k1, k2)
		delete(w, key)
		return wrongCount(err, got, exists)
	case 3:
		got, err := tx.Exec("UPDATE pairs SET n = $1, text = $2 WHERE k1 = $3 AND k2 = $4", n, text, k1, k2)
		if exists {
			w[key] = value
		}
		return wrongCount(err, got, exists)
	case 4: // many at once
		_, err := tx.Exec("UPDATE pairs SET n = NULL, text = $1 WHERE k1 = $2", text, k1)
		for other := range w {
			if other[:1] == k1 {
				w[other] = "NULL " + text
			}
		}
		return err
	default: // the key itself
		target := fmt.Sprint(k1, "/", k2+10)
		if _, taken := w[target]; taken {
			return nil
		}
		got, err := tx.Exec("UPDATE pairs SET k2 = k2 + 10 WHERE k1 = $1 AND k2 = $2", k1, k2)
		if exists {
			w[target] = w[key]
			delete(w, key)
		}
		return wrongCount(err, got, exists)
	}
}

func wrongCount(err error, got int64, exists bool) error {
	if err == nil && (got == 1) != exists {
		return fmt.Errorf("%d rows changed", got)
	}
	return err
}
