package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/apt"
)

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
	rec := record{Digest: digestArchive(s.rules, sum), Rules: s.rules, Archive: sum, BuiltAt: time.Now().UTC().Truncate(time.Microsecond)}
	rr := refRecord{Ref: r.text, Digest: rec.Digest, Rules: s.rules, Archive: &state}
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
	files, err := apt.Decompress(in, sniff(in))
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

// magics are the first bytes of the compressions.
var magics = []struct{ ext, magic string }{
	{".gz", "\x1f\x8b"},
	{".xz", "\xfd7zXZ\x00"},
	{".zst", "\x28\xb5\x2f\xfd"},
	{".bz2", "BZh"},
}

// sniff tells the compression by the first bytes, "" for none.
func sniff(r *bufio.Reader) string {
	head, _ := r.Peek(6)
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.ext
		}
	}
	return ""
}
