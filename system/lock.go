package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/volvox-os/volvox"
)

// lock is held by the process that runs the computer of a data directory. It
// ends with the process, however that ends.
type lock struct{ file *os.File }

// takeLock makes the data directory if it is not there and locks it:
// E_ALREADY_UP if another process has it, E_DENIED if this one may not.
func takeLock(l volvox.Layout) (*lock, error) {
	if err := os.MkdirAll(l.Data, 0o700); err != nil {
		return nil, dataError(l, err)
	}
	f, err := os.OpenFile(l.Lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, dataError(l, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, dataError(l, err)
		}
		pid := make([]byte, 20)
		n, _ := f.ReadAt(pid, 0)
		return nil, volvox.Errorf(volvox.AlreadyUp, "a computer is already up on %s", l.Data).
			Because("process %s runs it", strings.TrimSpace(string(pid[:n]))).
			WithTry("volvox status --data %s", l.Data).
			WithTry("volvox up --data DIRECTORY, for another computer beside it")
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
		if err != nil {
			f.Close()
			return nil, dataError(l, err)
		}
	}
	return &lock{file: f}, nil
}

// free lets go. A second call does nothing.
func (l *lock) free() {
	if l != nil && l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// dataError explains why the data directory cannot be used.
func dataError(l volvox.Layout, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return volvox.Errorf(volvox.Denied, "the data directory %s cannot be used", l.Data).From(err).
			WithTry("become its owner (root, for the default one)").
			WithTry("name a directory of yours with --data")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return volvox.Errorf(volvox.DiskFull, "the data directory %s cannot be used", l.Data).From(err).
			WithTry("df -h %s", l.Data)
	case errors.Is(err, syscall.ENOTDIR):
		return volvox.Errorf(volvox.BadInput, "%s is not a directory", l.Data).
			WithTry("name a directory with --data")
	case errors.Is(err, fs.ErrNotExist): // a file system of the kernel, such as /proc
		return volvox.Errorf(volvox.BadInput, "no directory %s can be made", l.Data).From(err).
			WithTry("name another directory with --data")
	default:
		return fmt.Errorf("open the data directory: %w", err)
	}
}
