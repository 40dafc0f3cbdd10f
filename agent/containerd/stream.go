package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox/agent"
	"golang.org/x/sys/unix"
)

// silence is how long the output of a command that has ended is still waited
// for when nothing comes: a child in the background may hold it open.
const silence = 500 * time.Millisecond

// streams are the standard streams of a command, as fifos between its shim
// and us. containerd is not between them, so they survive it.
type streams struct {
	dir   string
	paths [3]string // stdin, stdout, stderr; empty for those not wanted
	ends  [3]*os.File
	held  []*os.File // writing ends of the outputs, held until the shim has its own
	e     agent.Exec

	copies sync.WaitGroup
	done   chan struct{} // closed when the outputs have ended
	moved  atomic.Int64  // bytes of output
}

// openStreams makes the fifos in a directory of their own.
func openStreams(dir string, e agent.Exec) (*streams, error) {
	s := &streams{dir: dir, e: e, done: make(chan struct{})}
	if err := s.open(); err != nil {
		s.close()
		return nil, fmt.Errorf("open streams: %w", err)
	}
	return s, nil
}

func (s *streams) open() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// The shim wants both outputs, or no stream at all.
	outputs := s.e.Stdin != nil || s.e.Stdout != nil || s.e.Stderr != nil
	wanted := []bool{s.e.Stdin != nil, outputs, outputs}
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		if !wanted[i] {
			continue
		}
		path := filepath.Join(s.dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return err
		}
		s.paths[i] = path
		flag := os.O_RDONLY
		if i == 0 {
			flag = os.O_RDWR // can be opened before there is a reader
		}
		f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		s.ends[i] = f
		if i == 0 {
			continue
		}
		held, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		s.held = append(s.held, held)
	}
	return nil
}

// start copies, once the shim has opened its ends. noMore is called when
// stdin has ended.
func (s *streams) start(noMore func()) {
	for _, f := range s.held {
		f.Close()
	}
	if f := s.ends[0]; f != nil {
		go func() { // a Read of the caller's may block for ever, so nobody waits for it
			io.Copy(f, s.e.Stdin)
			f.Close()
			noMore()
		}()
	}
	for i, to := range []io.Writer{s.e.Stdout, s.e.Stderr} {
		if f := s.ends[i+1]; f != nil {
			s.copies.Go(func() { s.copy(to, f) })
		}
	}
	go func() {
		s.copies.Wait()
		close(s.done)
	}()
}

// copy copies an output to its end; nil is a writer that nobody reads. One
// that fails gets no more, but the command is not stopped by it.
func (s *streams) copy(to io.Writer, from *os.File) {
	if to == nil {
		to = io.Discard
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			s.moved.Add(int64(n))
			if _, err := to.Write(buf[:n]); err != nil {
				to = io.Discard
			}
			s.moved.Add(1)
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
	}
}

// drain waits until the outputs have ended, or nothing moves any more.
func (s *streams) drain(ctx context.Context) {
	for {
		before := s.moved.Load()
		select {
		case <-s.done:
			return
		case <-ctx.Done():
			s.abandon()
			return
		case <-time.After(silence):
		}
		if s.moved.Load() == before {
			s.abandon()
			return
		}
	}
}

// abandon stops copying, and returns when no Write of the caller's is under
// way.
func (s *streams) abandon() {
	for _, f := range s.ends[1:] {
		if f != nil {
			f.Close()
		}
	}
	<-s.done
}

// close removes the fifos.
func (s *streams) close() {
	for _, f := range append(s.held, s.ends[:]...) {
		if f != nil {
			f.Close()
		}
	}
	os.RemoveAll(s.dir) // what stays, the next Open removes
}
