package workflow

import (
	"strings"
	"time"
)

// PlantNoCondition makes an engine record steps of workflows that are not its
// own any more, or cancelled: a fault, to see that the tests find it.
func PlantNoCondition(e *Engine) {
	blind := func(s string) string {
		from, to := strings.Index(s, "FROM workflows"), strings.Index(s, " ON CONFLICT")
		return strings.Replace(s[:from], "SELECT id,", "SELECT $1,", 1) + "WHERE $10 = $10" + s[to:]
	}
	e.record = recordStatements{blind(records.unlessCancelled), blind(records.detached)}
}

// SetLinger says which sleeps of an engine's workflows keep their goroutine.
func SetLinger(e *Engine, d time.Duration) { e.linger = d }

// Asleep is how many workflows of an engine sleep without a goroutine.
func Asleep(e *Engine) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asleep)
}

// Blind keeps an engine from watching the tables, so that it learns of
// takeovers and cancels from its records alone.
func Blind(e *Engine) { e.feed.Do(func() {}) }

// PlantSlow makes the records of an engine's steps take longer than the kernel
// allows while there is an effect with the ID slow.
func PlantSlow(e *Engine) {
	slow := func(s string) string {
		return "WITH RECURSIVE n(i) AS (SELECT 1 WHERE EXISTS (SELECT 1 FROM effects WHERE id = 'slow') UNION ALL SELECT i + 1 FROM n) " +
			strings.Replace(s, " ON CONFLICT", " AND (SELECT count(*) FROM n) = 0 ON CONFLICT", 1)
	}
	e.record = recordStatements{slow(records.unlessCancelled), slow(records.detached)}
}
