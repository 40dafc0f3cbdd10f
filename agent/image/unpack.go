package image

import (
	"cmp"
	"context"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/apt"
)

// downloads is how many packages are fetched at once.
const downloads = 4

// blob is a package that was fetched, and its place in the order of names.
type blob struct {
	file string
	rank int
}

// unpackAll fetches the packages and unpacks each as soon as it is there. The
// largest come first, so that none is left over for the end.
func (s *Store) unpackAll(ctx context.Context, c *apt.Closure, t *tree, say func(string)) error {
	order := bySize(c.Packages)
	ready := make(chan blob, len(order))
	g, ctx := errgroup.WithContext(ctx)
	var next, fetched atomic.Int64
	for range min(downloads, len(order)) {
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(order) {
					return nil
				}
				file, err := c.Fetch(ctx, order[n])
				if err != nil {
					return err
				}
				ready <- blob{file, order[n]}
				if fetched.Add(1) == int64(len(order)) {
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
				case b, more := <-ready:
					if !more {
						return nil
					}
					if err := s.unpackPackage(ctx, c.Packages[b.rank], b, t); err != nil {
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
func (s *Store) unpackPackage(ctx context.Context, p apt.Package, b blob, t *tree) error {
	select {
	case s.unpackers <- struct{}{}:
		defer func() { <-s.unpackers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := os.Open(b.file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.unpackDeb(ctx, f, b.rank); err != nil {
		if ctx.Err() != nil || diskFull(err) {
			return err
		}
		return volvox.Errorf(volvox.BadImage, "package %s %s cannot be unpacked", p.Name, p.Version).From(err)
	}
	return nil
}

// bySize returns the positions of the items, largest package first.
func bySize(packages []apt.Package) []int {
	order := make([]int, len(packages))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return -cmp.Compare(packages[a].Size, packages[b].Size)
	})
	return order
}
