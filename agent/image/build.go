package image

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/machine"
)

// build makes the image of a reference, unless its digest is there already,
// and records where the reference leads.
func (s *Store) build(ctx context.Context, r reference, say func(string)) (record, error) {
	if r.path != "" {
		return s.buildArchive(ctx, r, say)
	}
	rec, err := s.buildPackages(ctx, r, young, say)
	if worthNewest(err) {
		// a new look at every mirror may help: an index can be younger than
		// our copy, and a mirror may answer again
		rec, err = s.buildPackages(ctx, r, newest, say)
	}
	return rec, err
}

// worthNewest says whether a build that used kept indexes is to be tried with
// new ones.
func worthNewest(err error) bool {
	var stale *staleError
	return errors.As(err, &stale)
}

// staleError is a failure that may be due to copies that are too old.
type staleError struct{ error }

func (e *staleError) Unwrap() error { return e.error }

func stale(c *catalog, err error) error {
	switch codeOf(err) {
	case volvox.NoPackage, volvox.MirrorUnavailable, volvox.Signature, volvox.Checksum:
		if !c.fresh {
			return &staleError{err}
		}
	}
	return err
}

func (s *Store) buildPackages(ctx context.Context, r reference, f freshness, say func(string)) (record, error) {
	if f == newest {
		say("asking all mirrors again")
	} else {
		say("resolving " + names(r.requests))
	}
	c, err := s.lists.load(ctx, f)
	if err != nil {
		return record{}, err
	}
	defer c.close()
	items, err := resolve(c, r.requests)
	if err != nil {
		return record{}, stale(c, err)
	}
	rec := record{Rules: rulesVersion, BuiltAt: time.Now().UTC().Truncate(time.Microsecond)}
	for _, it := range items {
		rec.Packages = append(rec.Packages, machine.Package{Name: it.name, Version: it.version, SHA256: it.promise.sha256})
	}
	rec.Digest = digestPackages(rec.Packages)
	if have, ok, err := s.adopt(refRecord{Ref: r.text, Digest: rec.Digest}); ok {
		return have, err
	}
	if err := s.checkSpace(items); err != nil {
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
	var size int64
	for _, it := range items {
		size += it.promise.size
	}
	say(fmt.Sprintf("fetching %d packages, %s", len(items), bytesText(size)))
	if err := s.unpackAll(ctx, c, items, t, say); err != nil {
		return record{}, stale(c, err)
	}
	t.unmerge()
	return s.complete(st, t, rec, refRecord{Ref: r.text}, true)
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
func (s *Store) checkSpace(items []item) error {
	var need int64
	for _, it := range items {
		need += it.installed * 6 / 10
		if _, err := os.Stat(s.blobFile(it.promise)); err != nil {
			need += it.promise.size
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

// bySize returns the positions of the items, largest package first.
func bySize(items []item) []int {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return -cmp.Compare(items[a].promise.size, items[b].promise.size)
	})
	return order
}

// buildArchive unpacks a root file system archive.
func (s *Store) buildArchive(ctx context.Context, r reference, say func(string)) (record, error) {
	bad := func(err error) error {
		if ctx.Err() != nil || diskFull(err) {
			return err
		}
		return volvox.Errorf(volvox.BadImage, "image %s cannot be used", r.text).From(err).
			WithTry("an archive of a root file system: file:/path/to/archive.tar[.gz|.xz|.zst]")
	}
	f, err := os.Open(r.path)
	if err != nil {
		return record{}, bad(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return record{}, bad(err)
	}
	if !info.Mode().IsRegular() {
		return record{}, bad(errors.New("it is not a file"))
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
	say(fmt.Sprintf("unpacking %s, %s", filepath.Base(r.path), bytesText(info.Size())))
	sum, err := t.unpackArchive(ctx, f)
	if err != nil {
		return record{}, bad(err)
	}
	after, err := os.Stat(r.path)
	if err != nil || stateOf(after) != stateOf(info) {
		return record{}, bad(errors.New("it was changed while it was read"))
	}
	state := stateOf(info)
	rec := record{Digest: digestArchive(sum), Rules: rulesVersion, Archive: sum, BuiltAt: time.Now().UTC().Truncate(time.Microsecond)}
	rr := refRecord{Ref: r.text, Digest: rec.Digest, Archive: &state}
	if have, ok, err := s.adopt(rr); ok {
		return have, err
	}
	return s.complete(st, t, rec, rr, false)
}

// unpackArchive unpacks a tar archive, compressed or not, and returns the
// sha256 of the archive's file.
func (t *tree) unpackArchive(ctx context.Context, f io.Reader) (string, error) {
	h := sha256.New()
	in := bufio.NewReaderSize(io.TeeReader(f, h), 1<<16)
	files, err := decompress(in, sniff(in))
	if err != nil {
		return "", err
	}
	defer files.Close()
	if err := t.unpackTar(ctx, tar.NewReader(files), 0); err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	if t.files.Load() == 0 {
		return "", errors.New("there are no files in it")
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// forPeople makes an error of a build one with a code.
func forPeople(ref string, err error) error {
	var e *volvox.Error
	var c *codedError
	switch {
	case err == nil || errors.As(err, &e):
		if e != nil {
			return e
		}
		return nil
	case diskFull(err):
		return volvox.Errorf(volvox.DiskFull, "the disk became full while image %s was made", ref).From(err).
			WithTry("free disk space; what was half-made has been removed")
	case errors.As(err, &c):
		return volvox.Errorf(c.code, "image %s could not be made", ref).From(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return volvox.AsError(err)
	case errors.Is(err, fs.ErrPermission):
		return volvox.Errorf(volvox.Denied, "image %s could not be made", ref).From(err)
	}
	return volvox.Errorf(volvox.Internal, "image %s could not be made", ref).
		From(fmt.Errorf("%s", strings.TrimSpace(err.Error())))
}
