package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox/agent/apt"
)

// staging is a directory in which an image is made. While its lock file is
// locked, it belongs to a living process; else it is rubbish.
type staging struct {
	dir  string
	lock *os.File
}

// newStaging makes a staging directory with an empty rootfs in it.
func (s *Store) newStaging() (*staging, error) {
	for range 100 {
		dir := filepath.Join(s.dir, "staging", fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()))
		lock, err := tryLock(dir + ".lock")
		if err != nil {
			return nil, err
		}
		if lock == nil {
			continue // a sweep of another process was quicker
		}
		st := &staging{dir: dir, lock: lock}
		if err := os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755); err != nil {
			st.remove()
			return nil, err
		}
		return st, nil
	}
	return nil, errors.New("no staging directory could be made")
}

// remove removes the staging directory with all that is in it.
func (st *staging) remove() {
	_ = os.RemoveAll(st.dir)
	_ = os.Remove(st.lock.Name())
	_ = st.lock.Close()
}

// tryLock makes and locks a file; nil when somebody else has it locked.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !sameFile(f, name) {
		err = unix.EWOULDBLOCK // it was removed between opening and locking
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func sameFile(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// waitLock locks a file, waiting for whoever has it.
func waitLock(ctx context.Context, name string) (*os.File, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := tryLock(name)
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// sweep removes the staging directories of processes that are gone.
func (s *Store) sweep() {
	dir := filepath.Join(s.dir, "staging")
	entries, _ := os.ReadDir(dir)
	seen := map[string]bool{}
	for _, e := range entries {
		name := filepath.Join(dir, strings.TrimSuffix(e.Name(), ".lock"))
		if seen[name] {
			continue
		}
		seen[name] = true
		lock, err := tryLock(name + ".lock")
		if err != nil || lock == nil {
			continue
		}
		(&staging{dir: name, lock: lock}).remove()
		s.log.Info("a half-made image was removed", "directory", name)
	}
	// references being written when their process ended
	temp, _ := filepath.Glob(filepath.Join(s.dir, "refs", apt.TempPrefix+"*"))
	for _, f := range temp {
		if info, err := os.Stat(f); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(f)
		}
	}
}

// finish makes the staging directory, which is on disk, the image. An image
// that is there already stays.
func (s *Store) finish(st *staging, rec record) error {
	target := s.imageDir(rec.Digest)
	err := os.Rename(st.dir, target)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		if _, err := readRecord(target); err == nil {
			return nil
		}
		// its rootfs or record was taken away: put it aside and try again
		if err = s.discard(target); err == nil {
			err = os.Rename(st.dir, target)
		}
	}
	if err != nil {
		return err
	}
	return syncDir(s.dir)
}

// discard removes an image: at once out of sight, then file by file.
func (s *Store) discard(dir string) error {
	st, err := s.newStaging()
	if err != nil {
		return err
	}
	defer st.remove()
	err = os.Rename(dir, filepath.Join(st.dir, "old"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncFileSystem writes all of the directory's file system to disk: one call
// instead of one for each of thousands of files.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
