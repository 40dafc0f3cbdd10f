package apt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
)

// blobFile is where a package lies while images are made of it.
func (s *Sources) blobFile(p promise) string {
	return filepath.Join(s.blobs, "sha256-"+p.sha256)
}

// fetch brings a package into the blobs, from the first place that has
// it: the blobs, apt's archives, then each repository that lists this file.
func (s *Sources) fetch(ctx context.Context, c *catalog, it item) error {
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
func (s *Sources) reachable(c *catalog, copies []*pkg) []*pkg {
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
func (s *Sources) fetchBlob(ctx context.Context, g *getter, address string, p promise) error {
	a, err := g.open(ctx, address, "", "")
	if err != nil {
		return err
	}
	defer a.Close()
	f, err := os.CreateTemp(s.blobs, TempPrefix)
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
