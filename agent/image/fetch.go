package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/volvox-os/volvox"
)

// downloads is how many packages are fetched at once.
const downloads = 4

// blobFile is where a package lies while images are made of it.
func (s *Store) blobFile(p promise) string {
	return filepath.Join(s.dir, "blobs", "sha256-"+p.sha256)
}

// unpackAll fetches the packages and unpacks each as soon as it is there. The
// largest come first, so that none is left over for the end.
func (s *Store) unpackAll(ctx context.Context, c *catalog, items []item, t *tree, say func(string)) error {
	order := bySize(items)
	ready := make(chan int, len(items))
	g, ctx := errgroup.WithContext(ctx)
	var next, fetched atomic.Int64
	for range min(downloads, len(items)) {
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(order) {
					return nil
				}
				if err := s.fetchPackage(ctx, c, items[order[n]]); err != nil {
					return err
				}
				ready <- order[n]
				if fetched.Add(1) == int64(len(items)) {
					close(ready)
					say("unpacking")
				}
			}
		})
	}
	for range cap(s.unpackers) {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case n, more := <-ready:
					if !more {
						return nil
					}
					if err := s.unpackPackage(ctx, items[n], n, t); err != nil {
						return err
					}
				}
			}
		})
	}
	return g.Wait()
}

// unpackPackage unpacks one blob; over all images no more at once than the
// machine has processors.
func (s *Store) unpackPackage(ctx context.Context, it item, rank int, t *tree) error {
	select {
	case s.unpackers <- struct{}{}:
		defer func() { <-s.unpackers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := os.Open(s.blobFile(it.promise))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.unpackDeb(ctx, f, rank); err != nil {
		if ctx.Err() != nil || diskFull(err) {
			return err
		}
		return volvox.Errorf(volvox.BadImage, "package %s cannot be unpacked", it.pkg).From(err)
	}
	return nil
}

// fetchPackage brings a package into the blobs, from the first place that has
// it: the blobs, apt's archives, then each repository that lists this file.
func (s *Store) fetchPackage(ctx context.Context, c *catalog, it item) error {
	blob := s.blobFile(it.promise)
	if verifyFile(blob, it.promise) {
		now := time.Now()
		_ = os.Chtimes(blob, now, now)
		return nil
	}
	archive := filepath.Join(s.root, "var/cache/apt/archives",
		fmt.Sprintf("%s_%s_%s.deb", it.name, strings.ReplaceAll(it.version, ":", "%3a"), it.arch))
	if _, err := os.Stat(archive); err == nil {
		if s.fetchBlob(ctx, c.get, "file://"+archive, it.promise) == nil {
			return nil
		}
	}
	var first error
	for _, p := range s.reachable(c, it.copies) {
		address := p.index.source.uri + strings.TrimPrefix(p.filename, "./")
		err := retry(ctx, func() error { return s.fetchBlob(ctx, c.get, address, it.promise) })
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || diskFull(err) {
			return err
		}
		s.log.Warn("a package could not be fetched", "package", it.name, "from", redact(address), "error", err)
		if first == nil {
			first = fetchError(it.pkg, p.index.source, address, err)
		}
	}
	return first
}

// reachable puts the copies whose mirrors did not answer last.
func (s *Store) reachable(c *catalog, copies []*pkg) []*pkg {
	var up, down []*pkg
	for _, p := range copies {
		if c.isDown(p.index.source) {
			down = append(down, p)
		} else {
			up = append(up, p)
		}
	}
	return append(up, down...)
}

func (c *catalog) isDown(s source) bool {
	for _, f := range c.faults {
		if f.source.uri == s.uri && f.source.suite == s.suite {
			return true
		}
	}
	return false
}

func fetchError(p *pkg, from source, address string, err error) error {
	if codeOf(err) == volvox.Checksum {
		return volvox.Errorf(volvox.Checksum, "package %s from %s is not what its index promises", p, redact(from.uri)).From(err)
	}
	if errors.Is(err, errNotThere) {
		err = fmt.Errorf("it lists %s but has no such file: %w", p.filename, err)
	}
	return volvox.Errorf(volvox.MirrorUnavailable, "package %s could not be fetched from %s", p, redact(from.uri)).From(err)
}

// fetchBlob fetches one file and gives it its name only when it is right.
func (s *Store) fetchBlob(ctx context.Context, g *getter, address string, p promise) error {
	a, err := g.open(ctx, address, "", "")
	if err != nil {
		return err
	}
	defer a.Close()
	f, err := os.CreateTemp(filepath.Join(s.dir, "blobs"), tempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	checked := newChecked(a, p)
	if _, err := io.Copy(f, checked); err != nil && checked.err == nil {
		return err
	}
	if err := checked.finish(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.blobFile(p))
}

// verifyFile says whether the file is there and is what was promised.
func verifyFile(name string, p promise) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return newChecked(f, p).finish() == nil
}
