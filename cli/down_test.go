package cli_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api/apitest"
)

// locked holds the lock of a computer on a new data directory, as `volvox up`
// does, until the returned function is called.
func locked(t *testing.T) (data string, unlock func()) {
	t.Helper()
	layout, err := volvox.LayoutOf(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(layout.Lock())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, os.Getpid())
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return layout.Data, func() { f.Close() }
}

// TestDownWaitsForUp: down returns when the process of up has ended, not when
// it was told to.
func TestDownWaitsForUp(t *testing.T) {
	c := apitest.Start(t)
	data, unlock := locked(t)
	defer unlock()
	told := make(chan struct{}, 1)
	c.OnShutdown(func() { told <- struct{}{} })
	type end struct {
		code   int
		stderr string
	}
	ended := make(chan end, 1)
	go func() {
		code, _, stderr := run(context.Background(), hooks(c.Socket), "down", "--data", data)
		ended <- end{code, stderr}
	}()
	<-told
	select {
	case e := <-ended:
		t.Fatalf("it returned while up still runs: %+v", e)
	default:
	}
	unlock()
	if e := <-ended; e.code != 0 || !strings.Contains(e.stderr, "is down; its data is in "+data) {
		t.Errorf("%+v", e)
	}
	if asked := c.Shutdowns(); len(asked) != 1 || !asked[0].StopInstances || asked[0].Purge {
		t.Errorf("asked %+v", asked)
	}
}

// TestDownIsInterrupted: Ctrl-C stops the waiting, and says that it was only
// that.
func TestDownIsInterrupted(t *testing.T) {
	c := apitest.Start(t)
	data, unlock := locked(t)
	defer unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.OnShutdown(cancel)
	code, _, stderr := run(ctx, hooks(c.Socket), "down", "--purge", "--yes", "--data", data)
	if code != 7 || !strings.Contains(stderr, "still stopping") {
		t.Errorf("%d %s", code, stderr)
	}
	if asked := c.Shutdowns(); len(asked) != 1 || !asked[0].Purge {
		t.Errorf("asked %+v", asked)
	}
}

// TestDownWaitsForOneThatStarts: a computer that holds its lock and does not
// answer yet is waited for.
func TestDownWaitsForOneThatStarts(t *testing.T) {
	data, unlock := locked(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan string, 1)
	asked := make(chan struct{}, 1)
	h := hooks(data + "/nothing-there-yet")
	address := h.Address
	h.Address = func(d string) (string, error) {
		asked <- struct{}{}
		return address(d)
	}
	go func() {
		_, _, stderr := run(ctx, h, "down", "--data", data)
		ended <- stderr
	}()
	<-asked
	unlock() // the starting one died
	if stderr := <-ended; !strings.Contains(stderr, "down data="+data+" purge=false") {
		t.Errorf("it did not do it alone: %s", stderr)
	}
}
