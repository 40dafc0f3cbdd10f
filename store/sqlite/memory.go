package sqlite

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/volvox-os/volvox"
)

// A person's statement may make SQLite hold many values at once, and SQLite
// does not count what one connection takes. So while one runs for longer than
// a moment, the memory of the whole process is looked at.
const (
	maxGrowth   = 256 << 20             // bytes that the process may grow by
	memoryEvery = 20 * time.Millisecond // between two looks
)

// bound stops the view when the process grows too much. The caller calls
// what it returns when the view has ended.
func (v *view) bound() (done func()) {
	least := int64(-1)
	ended, set := make(chan struct{}), make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(memoryEvery, func() {
		<-set
		now := resident()
		if least < 0 || now < least {
			least = now
		}
		if now > least+maxGrowth {
			v.stop(volvox.Errorf(volvox.BadSQL, "it takes more than %d MB of memory", maxGrowth>>20))
			return
		}
		select {
		case <-ended:
		default:
			timer.Reset(memoryEvery)
		}
	})
	close(set)
	return func() { close(ended); timer.Stop() }
}

// resident is how many bytes of memory the process holds; 0 if that is not
// known.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
