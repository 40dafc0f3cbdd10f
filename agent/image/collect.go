package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/volvox-os/volvox/agent"
)

// Collect removes the images that are none of those in use, which are given
// as references or digests. What is being made is left alone; what Ensure has
// returned is not, so inUse must name it as soon as Ensure was called. It also removes
// packages and indexes that were not used for a while, and what killed
// processes left. It returns one Image for each reference removed.
func (s *Store) Collect(ctx context.Context, inUse []string) ([]agent.Image, error) {
	s.sweep()
	s.shelf.Lock()
	defer s.shelf.Unlock()
	keep := map[string]bool{}
	for _, u := range inUse {
		keep[u] = true
	}
	s.mu.Lock()
	for ref := range s.flights {
		keep[ref] = true
	}
	s.mu.Unlock()
	refs, err := s.references()
	if err != nil {
		return nil, forPeople("images could not be removed", err)
	}
	for _, rr := range refs {
		if keep[rr.Ref] {
			keep[rr.Digest] = true
		}
	}
	removed, err := s.removeImages(ctx, keep, refs)
	s.sources.Collect(s.keepUnused)
	if err != nil {
		return removed, forPeople("images could not be removed", err)
	}
	return removed, nil
}

// references reads what all references lead to, in order of names.
func (s *Store) references() ([]refRecord, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "refs", "*.json"))
	if err != nil {
		return nil, err
	}
	var all []refRecord
	for _, f := range files {
		if rr, err := readRefRecord(f); err == nil {
			all = append(all, rr)
		}
	}
	slices.SortFunc(all, func(a, b refRecord) int { return strings.Compare(a.Ref, b.Ref) })
	return all, nil
}

func (s *Store) removeImages(ctx context.Context, keep map[string]bool, refs []refRecord) (removed []agent.Image, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		sum, ok := strings.CutPrefix(e.Name(), "sha256-")
		digest := "sha256:" + sum
		if !ok || keep[digest] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		rec, _ := readRecord(s.imageDir(digest))
		rec.Digest = digest
		// first the references, then the image: a reference never leads to
		// an image that was taken away
		before := len(removed)
		for _, rr := range refs {
			if rr.Digest != digest {
				continue
			}
			if err := os.Remove(s.refFile(rr.Ref)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return removed, err
			}
			removed = append(removed, s.image(rr.Ref, rec))
		}
		if len(removed) == before {
			removed = append(removed, s.image("", rec)) // an archive that changed
		}
		if err := s.discard(s.imageDir(digest)); err != nil {
			return removed, err
		}
		s.log.Info("an image was removed", "digest", digest)
	}
	return removed, nil
}
