package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/volvox-os/volvox"
)

// formats are the compressions of an index, the quickest to use first: gzip
// is larger than xz, but unpacks several times faster.
var formats = []string{".gz", ".zst", ".xz", ".bz2", ""}

// packages opens the indexes that the release promises for the source's
// components and the machine's architecture.
func (l *sourceLoad) packages(ctx context.Context, rel *release) (loaded, error) {
	var dirs []string
	if l.source.flat() {
		dirs = []string{""}
	}
	for _, c := range l.source.components {
		dirs = append(dirs, c+"/binary-"+l.arch+"/")
		if slices.Contains(rel.archs, "all") && rel.noAllInIndex {
			dirs = append(dirs, c+"/binary-all/")
		}
	}
	out := make([]*index, len(dirs))
	g, gctx := errgroup.WithContext(ctx)
	for i, dir := range dirs {
		g.Go(func() error {
			ix, err := l.index(gctx, rel, dir)
			if err != nil || ix == nil {
				return err
			}
			ix.source, ix.priority, ix.order = l.source, rel.priority(), l.order
			out[i] = ix
			return nil
		})
	}
	err := g.Wait()
	out = slices.DeleteFunc(out, func(ix *index) bool { return ix == nil })
	if err != nil {
		for _, ix := range out {
			ix.close()
		}
		return loaded{}, err
	}
	return loaded{indexes: out}, nil
}

// index brings one Packages file, decompressed, into the cache and opens it.
// One that the release does not promise is as good as empty.
func (l *sourceLoad) index(ctx context.Context, rel *release, dir string) (*index, error) {
	if rel.files == nil {
		return l.unpromised(ctx, dir)
	}
	for _, ext := range formats {
		p, ok := rel.files[dir+"Packages"+ext]
		if !ok {
			continue
		}
		name := filepath.Join(l.lists, p.sha256+".packages")
		plain := rel.files[dir+"Packages"]
		if l.intact(name, plain) {
			now := time.Now()
			_ = os.Chtimes(name, now, now)
			return openIndex(name)
		}
		if err := l.bring(ctx, rel, dir, name); err != nil {
			return nil, err
		}
		return openIndex(name)
	}
	if len(rel.files) == 0 {
		return nil, coded(volvox.Checksum, errors.New("its release file gives no SHA256 checksums"))
	}
	return nil, nil
}

// intact says whether the kept index is what the release promises.
func (l *sourceLoad) intact(name string, plain promise) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if plain.sha256 == "" {
		return true // it was made durable when it was checked
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	return err == nil && n == plain.size && hex.EncodeToString(h.Sum(nil)) == plain.sha256
}

// bring makes the decompressed index: from apt's own copy, or from the
// mirror, by its hash or by its name.
func (l *sourceLoad) bring(ctx context.Context, rel *release, dir, name string) error {
	file := l.source.base() + dir + "Packages"
	durable := rel.files[dir+"Packages"].sha256 == ""
	for _, ext := range []string{"", ".gz", ".zst", ".xz"} {
		p, ok := rel.files[dir+"Packages"+ext]
		local := l.aptsFile(file) + ext
		if info, err := os.Stat(local); !ok || err != nil || info.Size() != p.size {
			continue
		}
		if err := l.copyIndex(ctx, "file://"+local, ext, p, name, durable); err == nil {
			return nil
		}
	}
	var last error
	for _, ext := range formats {
		p, ok := rel.files[dir+"Packages"+ext]
		if !ok {
			continue
		}
		addresses := []string{l.source.uri + file + ext}
		if rel.byHash && !l.source.noByHash && !l.conf.off("Acquire::By-Hash") {
			byHash := l.source.uri + path.Dir(file) + "/by-hash/SHA256/" + p.sha256
			addresses = []string{byHash, addresses[0]}
		}
		for _, address := range addresses {
			err := retry(ctx, func() error { return l.copyIndex(ctx, address, ext, p, name, durable) })
			if err == nil || ctx.Err() != nil || diskFull(err) {
				return err
			}
			if last == nil || !errors.Is(err, errNotThere) {
				last = err
			}
			if !errors.Is(err, errNotThere) {
				break
			}
		}
		if !errors.Is(last, errNotThere) {
			break
		}
	}
	if errors.Is(last, errNotThere) {
		last = fmt.Errorf("it has no %s", file)
	}
	if codeOf(last) == volvox.Checksum {
		return last
	}
	return coded(volvox.MirrorUnavailable, last)
}

// unpromised brings the index of a trusted source that has no release file.
func (l *sourceLoad) unpromised(ctx context.Context, dir string) (*index, error) {
	file := l.source.uri + l.source.base() + dir + "Packages"
	name := filepath.Join(l.lists, hashOf(file)+".packages")
	for _, ext := range formats {
		err := retry(ctx, func() error { return l.copyIndex(ctx, file+ext, ext, promise{size: -1}, name, false) })
		if err == nil {
			return openIndex(name)
		}
		if !errors.Is(err, errNotThere) {
			return nil, coded(volvox.MirrorUnavailable, err)
		}
	}
	return nil, coded(volvox.MirrorUnavailable, fmt.Errorf("it has no %s", redact(file)))
}

// copyIndex fetches, checks and decompresses an index into the cache.
func (l *sourceLoad) copyIndex(ctx context.Context, address, ext string, p promise, name string, durable bool) error {
	a, err := l.get.open(ctx, address, "", "")
	if err != nil {
		return err
	}
	defer a.Close()
	f, err := os.CreateTemp(l.lists, TempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	checked := newChecked(a, p)
	r, err := Decompress(checked, ext)
	if err == nil {
		_, err = io.Copy(f, r)
		r.Close()
	}
	// what the mirror sent wrongly explains what cannot be decompressed
	if failed := checked.finish(); failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path.Base(address), err)
	}
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return os.Rename(f.Name(), name)
}

// checkedReader counts and hashes what is read and never reads beyond what
// was promised.
type checkedReader struct {
	r    io.Reader
	p    promise
	hash hash.Hash
	n    int64
	err  error // of the transfer
}

func newChecked(r io.Reader, p promise) *checkedReader {
	return &checkedReader{r: r, p: p, hash: sha256.New()}
}

func (c *checkedReader) Read(b []byte) (int, error) {
	if c.p.size >= 0 && int64(len(b)) > c.p.size+1-c.n {
		b = b[:max(0, c.p.size+1-c.n)]
		if len(b) == 0 {
			return 0, io.EOF // more came than was promised
		}
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.hash.Write(b[:n])
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// finish reads the rest and compares with the promise.
func (c *checkedReader) finish() error {
	if c.err == nil {
		_, _ = io.Copy(io.Discard, c)
	}
	if c.err != nil {
		return c.err
	}
	if c.p.size < 0 {
		return nil
	}
	if c.n < c.p.size {
		return coded(volvox.Checksum, fmt.Errorf("%d of %d bytes came", c.n, c.p.size))
	}
	if got := hex.EncodeToString(c.hash.Sum(nil)); c.n > c.p.size || got != c.p.sha256 {
		return coded(volvox.Checksum, fmt.Errorf("its sha256 is %.12s…, promised was %.12s…", got, c.p.sha256))
	}
	return nil
}
