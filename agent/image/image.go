// Package image brings root file systems to a machine: it makes them of
// Debian packages, from the machine's own apt sources, or of an archive.
//
// It owns one directory, which holds
//
//	sha256-<digest>/rootfs      a root file system, used read-only and shared
//	sha256-<digest>/image.json  what went into it
//	refs/                       which image each reference led to
//	lists/, blobs/              package indexes and packages, kept for a while
//	locks/, staging/            images being made
//
// An image is whole or not there: it is made in staging/ and gets its name
// when all of it is on disk. What a process that was killed left in staging/
// is removed by the next Open or Collect. No root and no program of Debian is
// needed, and no maintainer script is run.
//
// Packages count only with a checksum that a signed index promises (package
// apt), and no archive can write outside of its image.
package image

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/apt"
)

// Options are how a store works. Only Dir is needed.
type Options struct {
	Dir string // of the images; made if it is not there
	// Sources are how packages are found; its directories are set by Open.
	Sources apt.Options
	// KeepUnused is how long Collect keeps packages and indexes that no build
	// used, default 24 h.
	KeepUnused time.Duration
	Log        *slog.Logger // default: none
}

// Store has the images of one directory. Several processes may use the same
// directory at once.
type Store struct {
	dir        string
	sources    *apt.Sources
	rules      string
	keepUnused time.Duration
	log        *slog.Logger
	unpackers  chan struct{} // bounds unpacking over all builds

	// shelf is held for writing while images are taken away, for reading
	// while one is made to be there for a reference.
	shelf sync.RWMutex

	ctx     context.Context // ends at Close
	stop    context.CancelFunc
	builds  sync.WaitGroup
	mu      sync.Mutex
	flights map[string]*flight
}

var _ agent.Images = (*Store)(nil)

// Open opens the store, making its directory if it is not there, and removes
// what killed processes left half-made.
func Open(ctx context.Context, o Options) (*Store, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, errors.Join(errors.New("open images: a directory is needed"), err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.KeepUnused == 0 {
		o.KeepUnused = 24 * time.Hour
	}
	for _, sub := range []string{"refs", "locks", "staging"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, forPeople("the images in "+dir+" cannot be used", err)
		}
	}
	o.Sources.Lists, o.Sources.Blobs = filepath.Join(dir, "lists"), filepath.Join(dir, "blobs")
	if o.Sources.Log == nil {
		o.Sources.Log = o.Log
	}
	sources, err := apt.Open(o.Sources)
	if err != nil {
		return nil, forPeople("the images in "+dir+" cannot be used", err)
	}
	s := &Store{dir: dir, sources: sources, rules: rulesID(), keepUnused: o.KeepUnused, log: o.Log, flights: map[string]*flight{}}
	s.unpackers = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.sweep()
	return s, nil
}

// Close ends builds that are under way and waits for them.
func (s *Store) Close() error {
	s.stop()
	s.builds.Wait()
	return nil
}

// Ensure returns the image of a reference, making it if it is not there.
// An image that is there is returned at once and without network. One made by
// the rules of another version of this program is made anew, and goes on
// being used when that fails. Callers
// that ask for the same reference at the same time share one build, which
// ends when the last of them has gone. progress is called with words such as
// "resolving NAME", "fetching 59 packages, 48 MB" and "unpacking", by one
// goroutine at a time and not after Ensure has returned; it must not wait.
//
// Errors are E_BAD_IMAGE (the reference, or what it leads to, cannot be an
// image), E_NO_PACKAGE, E_MIRROR_UNAVAILABLE, E_SIGNATURE, E_CHECKSUM,
// E_DISK_FULL. After an error nothing half-made is left.
func (s *Store) Ensure(ctx context.Context, ref string, progress func(string)) (agent.Image, error) {
	r, err := parseRef(ref)
	if err != nil {
		return agent.Image{}, err
	}
	if img, current, _ := s.present(r); current {
		return img, nil
	}
	f, listener := s.join(r, progress)
	defer s.leave(f, listener)
	select {
	case <-f.done:
		return f.image, f.err
	case <-ctx.Done():
		return agent.Image{}, ctx.Err()
	}
}

// flight is one build and those who wait for it.
type flight struct {
	ref    string
	cancel context.CancelFunc
	done   chan struct{}
	image  agent.Image // set before done is closed
	err    error

	mu        sync.Mutex
	last      string
	listeners map[int]func(string)
	joined    int
}

// say tells all who wait what is being done.
func (f *flight) say(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = what
	for _, l := range f.listeners {
		if l != nil {
			l(what)
		}
	}
}

// join starts the build of a reference or joins the one under way.
func (s *Store) join(r reference, progress func(string)) (*flight, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[r.text]
	if f == nil {
		f = &flight{ref: r.text, done: make(chan struct{}), listeners: map[int]func(string){}}
		var ctx context.Context
		ctx, f.cancel = context.WithCancel(s.ctx)
		s.flights[r.text] = f
		s.builds.Go(func() {
			defer f.cancel()
			rec, err := s.buildLocked(ctx, r, f.say)
			f.image, f.err = s.image(r.text, rec), forPeople(notMade(r.text), err)
			if err != nil {
				f.image = agent.Image{}
			}
			s.forget(f)
			close(f.done)
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined++
	f.listeners[f.joined] = progress
	if f.last != "" && progress != nil {
		progress(f.last)
	}
	return f, f.joined
}

// leave ends the build when nobody waits for it any more.
func (s *Store) leave(f *flight, listener int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, listener)
	if len(f.listeners) == 0 {
		f.cancel()
		if s.flights[f.ref] == f {
			delete(s.flights, f.ref)
		}
	}
}

func (s *Store) forget(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[f.ref] == f {
		delete(s.flights, f.ref)
	}
}

// buildLocked builds while no other process builds the same reference.
func (s *Store) buildLocked(ctx context.Context, r reference, say func(string)) (record, error) {
	lock, err := waitLock(ctx, filepath.Join(s.dir, "locks", hashOf(r.text)))
	if err != nil {
		return record{}, err
	}
	defer lock.Close()
	old, current, ok := s.present(r)
	if current {
		return readRecord(s.imageDir(old.Digest))
	}
	start := time.Now()
	rec, err := s.build(ctx, r, say)
	if err != nil && ok && ctx.Err() == nil {
		s.log.Warn("an image made by older rules goes on being used", "ref", r.text, "error", err)
		return readRecord(s.imageDir(old.Digest))
	}
	if err != nil {
		s.log.Warn("an image could not be made", "ref", r.text, "code", string(volvox.CodeOf(forPeople(notMade(r.text), err))), "error", err)
		return rec, err
	}
	s.log.Info("an image was made", "ref", r.text, "digest", rec.Digest, "bytes", rec.Bytes, "took", time.Since(start).Round(time.Millisecond))
	return rec, nil
}
