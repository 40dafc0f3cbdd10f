package workflow

import (
	"context"
	"sync"
	"time"

	"github.com/volvox-os/volvox/store"
)

// How many workflows one transaction takes.
const pageSize = 200

// takeOver takes all workflows that have not ended and whose code is here, and
// runs them. It is called once, before anything else is taken.
func (e *Engine) takeOver(ctx context.Context) error {
	unknown := map[string]int{}
	for last := ""; ; {
		var page, taken []claimed
		err := e.db.Update(store.WithName(ctx, "take over workflows"), func(tx *store.Tx) (err error) {
			page, err = store.All[claimed](tx, `SELECT `+claimedColumns+` FROM workflows
				WHERE status IN ('Pending', 'Running') AND id > $1 ORDER BY id LIMIT $2`, last, pageSize)
			if err != nil {
				return err
			}
			taken, err = e.claim(tx, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range page {
			if e.definitions[c.Name] == nil {
				unknown[c.Name]++
			}
		}
		for _, c := range taken {
			e.launch(c)
		}
		if len(page) < pageSize {
			break
		}
		last = page[len(page)-1].ID
	}
	for name, n := range unknown {
		e.log.Warn("workflows wait for code that is not in this program", "name", name, "count", n)
	}
	return nil
}

// claim makes the rows this engine's, and returns those that it could take,
// with their new fence.
func (e *Engine) claim(tx *store.Tx, rows []claimed) ([]claimed, error) {
	var taken []claimed
	for _, c := range rows {
		if e.definitions[c.Name] == nil {
			continue
		}
		n, err := tx.Exec(`UPDATE workflows SET status = 'Running', error = NULL, executor = $3, fence = fence + 1, attempts = attempts + 1,
			started_at = COALESCE(started_at, $4) WHERE id = $1 AND fence = $2 AND status IN ('Pending', 'Running')`,
			c.ID, c.Fence, e.executor, time.Now())
		if err != nil {
			return nil, err
		}
		if n == 1 {
			c.Fence++
			taken = append(taken, c)
		}
	}
	return taken, nil
}

// want is a workflow to be taken if it still has the fence.
type want struct {
	id    string
	fence int64
}

func (e *Engine) want(w ...want) {
	e.mu.Lock()
	e.wanted = append(e.wanted, w...)
	e.mu.Unlock()
	select {
	case e.toTake <- struct{}{}:
	default:
	}
}

// takeWanted takes what is wanted, many in one transaction, until the engine
// stops.
func (e *Engine) takeWanted() {
	wait := newBackoff()
	for {
		select {
		case <-e.toTake:
		case <-e.drain:
			return
		}
		for batch := e.nextWanted(); len(batch) > 0 && !e.draining(); batch = e.nextWanted() {
			if err := e.take(batch); err != nil {
				e.log.Error("cannot take workflows; trying again", "count", len(batch), "error", err)
				e.want(batch...)
				if !wait.pause(e.drain) {
					return
				}
				continue
			}
			wait.reset()
		}
	}
}

func (e *Engine) nextWanted() []want {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(e.wanted), pageSize)
	batch := e.wanted[:n:n]
	e.wanted = e.wanted[n:]
	return batch
}

func (e *Engine) take(batch []want) error {
	var taken []claimed
	err := e.db.Update(store.WithName(e.base, "take workflows"), func(tx *store.Tx) error {
		var rows []claimed
		for _, w := range batch {
			found, err := store.All[claimed](tx, `SELECT `+claimedColumns+` FROM workflows
				WHERE id = $1 AND fence = $2 AND status IN ('Pending', 'Running')`, w.id, w.fence)
			if err != nil {
				return err
			}
			rows = append(rows, found...)
		}
		var err error
		taken, err = e.claim(tx, rows)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range taken {
		e.launch(c)
	}
	return nil
}

// follow begins to watch the table of workflows, once, until Stop: for those
// started in others' transactions, for cancels, takeovers and ends.
func (e *Engine) follow() {
	e.feed.Do(func() {
		ready := make(chan struct{})
		e.watching.Go(func() { e.watch(ready) })
		<-ready
	})
}

func (e *Engine) watch(ready chan struct{}) {
	wait := newBackoff()
	heard := sync.OnceFunc(func() { close(ready) })
	defer heard() // though the engine was stopped before
	for first := true; e.base.Err() == nil; first = false {
		changes := e.db.Watch(e.base, store.Now(), "workflows")
		heard() // takeOver reads what was there before
		if !first {
			if err := e.catchUp(); err != nil {
				e.log.Error("cannot read workflows; trying again", "error", err)
			}
		}
		for c, err := range changes {
			if err != nil {
				if e.base.Err() == nil {
					e.log.Warn("the feed of workflows broke off; beginning again", "error", err)
				}
				break
			}
			wait.reset()
			e.changed(c)
		}
		if !wait.pause(e.base.Done()) {
			return
		}
	}
}

// changed looks at one change of the table workflows.
func (e *Engine) changed(c store.Change) {
	id, _ := c.Row["id"].(string)
	status, _ := c.Row["status"].(string)
	fence, _ := c.Row["fence"].(int64)
	if c.Op == "delete" || Status(status).Ended() || c.Row["error"] != nil {
		e.wake(id)
	}
	switch {
	case Status(status) == Pending && fence == 0:
		e.want(want{id, 0})
	case Status(status) == Running && c.Row["cancel_requested_at"] != nil:
		e.interrupt(id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.runs[id]; r != nil && fence > r.fence {
		r.halt(errFenced)
	}
	if s := e.asleep[id]; s != nil && fence > s.fence {
		e.forgetSleeper(id)
	}
}

// catchUp looks at everything that a gap in the feed may have hidden.
func (e *Engine) catchUp() error {
	e.wakeAll()
	var open []claimed
	err := e.db.View(e.base, func(tx *store.Tx) (err error) {
		open, err = store.All[claimed](tx, `SELECT `+claimedColumns+` FROM workflows WHERE status IN ('Pending', 'Running')
			AND (fence = 0 OR cancel_requested_at IS NOT NULL)`)
		return err
	})
	for _, c := range open {
		if c.Fence == 0 {
			e.want(want{c.ID, 0})
		} else {
			e.interrupt(c.ID)
		}
	}
	return err
}

// backoff is a growing wait between attempts.
type backoff struct{ next time.Duration }

const (
	firstWait = 50 * time.Millisecond
	longWait  = 5 * time.Second
)

func newBackoff() *backoff { return &backoff{firstWait} }

func (b *backoff) reset() { b.next = firstWait }

// pause waits; false means that done came first.
func (b *backoff) pause(done <-chan struct{}) bool {
	t := time.NewTimer(b.next)
	defer t.Stop()
	b.next = min(2*b.next, longWait)
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}
