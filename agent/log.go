package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// logFile is what an instance prints, with the older files that rotation has
// put aside: PATH.1 is the newest of them. Whoever writes to it appends.
type logFile struct {
	path string

	mu      sync.RWMutex // held for writing while files are moved
	rotated int          // how often
	kept    int
}

func newLogFile(path string) *logFile { return &logFile{path: path} }

// name is the path of the file that was put aside n rotations ago.
func (l *logFile) name(n int) string {
	if n == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(n)
}

// rotate puts the log aside when it has reached size, by copying it and then
// making it empty, for the program has it open. The oldest file goes first, so
// that a disk that is full has room for the copy.
func (l *logFile) rotate(size int64, keep int) (err error) {
	if s, err := os.Stat(l.path); err != nil || s.Size() < size {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	os.Remove(l.name(keep))
	fresh := l.path + ".new"
	defer func() {
		if err != nil {
			os.Remove(fresh)
		}
	}()
	to, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	for n := keep; n > 1; n-- {
		if err := os.Rename(l.name(n-1), l.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(fresh, l.name(1)); err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil { // what came meanwhile
		return err
	}
	l.rotated++
	l.kept = keep
	return from.Truncate(0)
}

// last copies the last bytes of the log, at most so many, to w.
func (l *logFile) last(most int64, w io.Writer) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var files []*io.SectionReader // newest first
	for n := 0; most > 0; n++ {
		f, err := os.Open(l.name(n))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		defer f.Close()
		s, err := f.Stat()
		if err != nil {
			return err
		}
		size := min(most, s.Size())
		files = append(files, io.NewSectionReader(f, s.Size()-size, size))
		most -= size
	}
	for _, f := range slices.Backward(files) {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the log and its older files.
func (l *logFile) remove() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for n := 1; ; n++ {
		if os.Remove(l.name(n)) != nil {
			break
		}
	}
	os.Remove(l.path + ".new")
	return err
}

// Write appends.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	return n, errors.Join(err, f.Close())
}

// note appends a line of the agent's own. It is no harm if that fails.
func (l *logFile) note(format string, args ...any) {
	fmt.Fprintf(l, "volvox: "+format+"\n", args...)
}

// place is a byte in the log: the number of rotations after which the file
// began, and the offset in it.
type place struct {
	file   int
	offset int64
}

// read reads from a place and moves it on; 0 bytes mean that there is no more
// yet.
func (l *logFile) read(at *place, b []byte) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for {
		ago := l.rotated - at.file
		f, err := os.Open(l.name(ago))
		if errors.Is(err, fs.ErrNotExist) && ago > 0 {
			at.file, at.offset = at.file+1, 0 // no longer kept
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		n, err := f.ReadAt(b, at.offset)
		if ago == 0 && n == 0 {
			if s, err := f.Stat(); err == nil && s.Size() < at.offset {
				at.offset = 0 // somebody else made it empty
			}
		}
		f.Close()
		at.offset += int64(n)
		if n > 0 {
			return n, nil
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
		if ago == 0 {
			return 0, nil
		}
		at.file, at.offset = at.file+1, 0
	}
}

// start is the place of the last lines; negative is all.
func (l *logFile) start(lines int) (place, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	oldest := 0
	for {
		if _, err := os.Stat(l.name(oldest + 1)); err != nil {
			break
		}
		oldest++
	}
	if lines < 0 {
		return place{file: l.rotated - oldest}, nil
	}
	left := lines
	for ago := 0; ago <= oldest; ago++ {
		offset, found, err := lastLines(l.name(ago), &left)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return place{}, err
		}
		if found {
			return place{file: l.rotated - ago, offset: offset}, nil
		}
	}
	return place{file: l.rotated - oldest}, nil
}

// lastLines returns where the last lines of a file begin. Not found means
// that the file has fewer, by which left is made less.
func lastLines(path string, left *int) (offset int64, found bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	end := s.Size()
	if *left == 0 {
		return end, true, nil
	}
	b := make([]byte, 64<<10)
	for at := end; at > 0; {
		n := min(int64(len(b)), at)
		at -= n
		if _, err := f.ReadAt(b[:n], at); err != nil {
			return 0, false, err
		}
		for i := n - 1; i >= 0; i-- {
			if b[i] != '\n' || at+i == end-1 {
				continue
			}
			if *left--; *left == 0 {
				return at + i + 1, true, nil
			}
		}
	}
	if end > 0 {
		if *left--; *left == 0 {
			return 0, true, nil
		}
	}
	return 0, false, nil
}

// copy writes the last lines and, if it is to follow, what comes after them,
// until ctx ends or over is closed.
func (l *logFile) copy(ctx context.Context, w io.Writer, lines int, follow bool, over <-chan struct{}) error {
	at, err := l.start(lines)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	b := make([]byte, 64<<10)
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		n, err := l.read(&at, b)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				return err
			}
			continue
		}
		if !follow {
			return nil
		}
		select {
		case <-look.C:
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	also io.Writer // gets all of it, if it is there

	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.also != nil {
		t.also.Write(b) // a log that cannot be written does not stop an action
	}
	t.text = append(t.text, b...)
	if over := len(t.text) - logTail; over > 0 {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) add(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.text), "?")
}
