// Package sqlite is the kernel's driver for one machine: an SQLite file in
// WAL mode with synchronous=FULL.
//
// One goroutine writes. It runs the closures that wait as one group in one
// SQLite transaction, each under a savepoint of its own, commits once, and
// then answers all; so what is answered is on the disk, and a thousand
// callers share one fsync. Readers have connections of their own and never
// wait for the writer. The file belongs to one process at a time.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"golang.org/x/sys/unix"
)

// Options are what tests change; the zero value is what everybody wants.
type Options struct {
	ClosureLimit time.Duration    // how long a closure may take; 0: 1 s
	ViewLimit    time.Duration    // how long a view may take; 0: 30 s
	Now          func() time.Time // nil: time.Now
}

// Open opens the kernel in a file, which is made if it is not there, readable
// by its owner alone. A second Open of the same file, from this or another
// process, is E_ALREADY_UP until the first is closed.
func Open(ctx context.Context, path string) (*store.DB, error) {
	return OpenWith(ctx, path, Options{})
}

// OpenWith is Open with options.
func OpenWith(ctx context.Context, path string, o Options) (*store.DB, error) {
	d, err := open(path, o)
	if err != nil {
		return nil, err
	}
	db, err := store.New(ctx, d)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return db, nil
}

// driver is the store.Driver of this package.
type driver struct {
	*writer
	readers *readers
	lock    *os.File
}

var _ store.Driver = (*driver)(nil)

func open(path string, o Options) (_ *driver, err error) {
	if o.ClosureLimit == 0 {
		o.ClosureLimit = time.Second
	}
	if o.ViewLimit == 0 {
		o.ViewLimit = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := makeFile(path); err != nil {
		return nil, err
	}
	rs := newReaders(path, o)
	w, err := newWriter(path, o, rs)
	if err != nil {
		return nil, openError(path, err)
	}
	return &driver{writer: w, readers: rs, lock: lock}, nil
}

// takeLock holds PATH.lock for as long as the file it returns is open.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, openError(path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, volvox.Errorf(volvox.AlreadyUp, "the kernel %s is open already", path).
				Because("another process, or another part of this one, holds %s.lock", path)
		}
		return nil, openError(path, err)
	}
	return f, nil
}

// makeFile makes an empty file that survives a power cut.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return openError(path, err)
	}
	err = f.Sync()
	if err := errors.Join(err, f.Close()); err != nil {
		return openError(path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return openError(path, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return openError(path, err)
	}
	return nil
}

func openError(path string, err error) error {
	err = wrap(err)
	code := volvox.CodeOf(err)
	switch {
	case code != volvox.Internal:
	case errors.Is(err, os.ErrPermission):
		code = volvox.Denied
	case errors.Is(err, unix.ENOSPC):
		code = volvox.DiskFull
	case errors.Is(err, os.ErrNotExist):
		code = volvox.NotFound
	}
	return volvox.Errorf(code, "the kernel %s cannot be opened", path).From(err)
}

// Update is store.Driver's.
func (d *driver) Update(ctx context.Context, m store.Meta, f func(store.Conn) error) error {
	_, err := d.do(&request{ctx: ctx, meta: m, f: f})
	return err
}

// Exec is store.Driver's.
func (d *driver) Exec(ctx context.Context, m store.Meta, stmt string, args []any) (int64, error) {
	r := &request{ctx: ctx, meta: m, single: true}
	r.f = func(c store.Conn) (err error) {
		r.changed, err = c.Exec(stmt, args)
		return err
	}
	return d.do(r)
}

// View is store.Driver's.
func (d *driver) View(ctx context.Context, look store.Look, f func(store.Conn) error) error {
	latest := false
	if !look.At.IsZero() {
		var err error
		if latest, err = d.passed(look.At); err != nil {
			return err
		}
	}
	return d.readers.view(ctx, look, latest, f)
}

// Close is store.Driver's.
func (d *driver) Close() error {
	if !d.stop() {
		return nil
	}
	err := errors.Join(d.readers.close(), d.writer.close())
	err = errors.Join(err, d.lock.Close())
	if err != nil {
		return fmt.Errorf("close the kernel: %w", err)
	}
	return nil
}
