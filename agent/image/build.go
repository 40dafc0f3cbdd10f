package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/apt"
	"github.com/volvox-os/volvox/machine"
)

// build makes the image of a reference, unless its digest is there already,
// and records where the reference leads.
func (s *Store) build(ctx context.Context, r reference, say func(string)) (record, error) {
	if r.path != "" {
		return s.buildArchive(ctx, r, say)
	}
	rec, err := s.buildPackages(ctx, r, false, say)
	if apt.Stale(err) {
		// a new look at every mirror may help: an index can be younger than
		// our copy, and a mirror may answer again
		rec, err = s.buildPackages(ctx, r, true, say)
	}
	return rec, err
}

func (s *Store) buildPackages(ctx context.Context, r reference, newest bool, say func(string)) (record, error) {
	if newest {
		say("asking all mirrors again")
	} else {
		say("resolving " + apt.Names(r.packages))
	}
	c, err := s.sources.Resolve(ctx, apt.Wish{Packages: r.packages, Base: basePackages, Drop: droppedName}, newest)
	if err != nil {
		return record{}, err
	}
	defer c.Close()
	rec := record{Rules: s.rules, BuiltAt: time.Now().UTC().Truncate(time.Microsecond)}
	var size int64
	for _, p := range c.Packages {
		rec.Packages = append(rec.Packages, machine.Package{Name: p.Name, Version: p.Version, SHA256: p.SHA256})
		size += p.Size
	}
	rec.Digest = digestPackages(s.rules, rec.Packages)
	if have, ok, err := s.adopt(refRecord{Ref: r.text, Digest: rec.Digest, Rules: s.rules}); ok {
		return have, err
	}
	if err := s.checkSpace(c); err != nil {
		return record{}, err
	}
	st, err := s.newStaging()
	if err != nil {
		return record{}, err
	}
	defer st.remove()
	t, err := newTree(filepath.Join(st.dir, "rootfs"))
	if err != nil {
		return record{}, err
	}
	defer t.close()
	t.drop = droppedPath
	if err := t.mergeUsr(); err != nil {
		return record{}, err
	}
	say(fmt.Sprintf("fetching %d packages, %s", len(c.Packages), bytesText(size)))
	if err := s.unpackAll(ctx, c, t, say); err != nil {
		return record{}, err
	}
	t.unmerge()
	return s.complete(st, t, rec, refRecord{Ref: r.text, Rules: s.rules}, true)
}

// complete furnishes the tree and makes it the image.
func (s *Store) complete(st *staging, t *tree, rec record, rr refRecord, packages bool) (record, error) {
	if err := t.furnish(packages); err != nil {
		if errors.Is(err, errUnsafe) {
			err = volvox.Errorf(volvox.BadImage, "image %s cannot be used", rr.Ref).From(err)
		}
		return record{}, err
	}
	rec.Bytes, rec.Files = t.bytes.Load(), t.files.Load()
	rr.Digest = rec.Digest
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return record{}, err
	}
	if err := os.WriteFile(filepath.Join(st.dir, "image.json"), append(b, '\n'), 0o644); err != nil {
		return record{}, err
	}
	if err := syncFileSystem(st.dir); err != nil {
		return record{}, fmt.Errorf("sync: %w", err)
	}
	s.shelf.RLock()
	defer s.shelf.RUnlock()
	if err := s.finish(st, rec); err != nil {
		return record{}, err
	}
	return rec, s.remember(rr)
}

// adopt makes a reference lead to an image that is there already; ok is false
// when it is not.
func (s *Store) adopt(rr refRecord) (rec record, ok bool, err error) {
	s.shelf.RLock()
	defer s.shelf.RUnlock()
	if rec, err = readRecord(s.imageDir(rr.Digest)); err != nil {
		return record{}, false, nil
	}
	return rec, true, s.remember(rr)
}

// checkSpace refuses early what cannot fit. Installed sizes are what
// maintainers say, documentation included, so only a part is counted.
func (s *Store) checkSpace(c *apt.Closure) error {
	var need int64
	for i, p := range c.Packages {
		need += p.Installed * 6 / 10
		if !c.Have(i) {
			need += p.Size
		}
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir, &stat); err != nil {
		return nil
	}
	if free := int64(stat.Bavail) * stat.Bsize; free < need {
		return volvox.Errorf(volvox.DiskFull, "the disk has no room for the image").
			Because("it needs about %s in %s, where %s are free", bytesText(need), s.dir, bytesText(free))
	}
	return nil
}

// forPeople makes an error one with a code; what says what failed.
func forPeople(what string, err error) error {
	var e *volvox.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case diskFull(err):
		return volvox.Errorf(volvox.DiskFull, "%s: the disk is full", what).From(err).
			WithTry("free disk space; what was half-made has been removed")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return volvox.AsError(err)
	case errors.Is(err, fs.ErrPermission):
		return volvox.Errorf(volvox.Denied, "%s", what).From(err)
	}
	return volvox.Errorf(volvox.Internal, "%s", what).From(err)
}

// notMade is what failed when an image could not be made.
func notMade(ref string) string { return fmt.Sprintf("image %s could not be made", ref) }

func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d MB", (n+500_000)/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1000)
}
