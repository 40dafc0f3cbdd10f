package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// tree is a root file system being made from archives, several at once.
//
// Nothing an archive says leads outside: names with ".." are refused, links
// in the way of a file are followed as a program in the container would
// follow them, and every access goes through an os.Root besides. Files get
// the owner of this process; device nodes, set-id bits and extended
// attributes are left out.
type tree struct {
	root  *os.Root
	merge bool              // /bin, /lib, … are links into /usr
	drop  func(string) bool // nil: nothing is left out
	bytes atomic.Int64
	files atomic.Int64

	mu    sync.Mutex
	owner map[string]int      // rank of the archive that has a path
	dirs  map[string]struct{} // known to be real directories

	seed    maphash.Seed
	stripes [64]sync.Mutex // one writer per path
	buffers sync.Pool
}

func newTree(dir string) (*tree, error) {
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, owner: map[string]int{}, dirs: map[string]struct{}{".": {}}, seed: maphash.MakeSeed()}
	t.buffers.New = func() any { b := make([]byte, 256<<10); return &b }
	return t, nil
}

func (t *tree) close() error { return t.root.Close() }

// errUnsafe is an archive that tries to write where it must not.
var errUnsafe = errors.New("the archive is unsafe")

// mergedDirs are links to the directory of the same name in /usr.
var mergedDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// cleanName makes the name of a tar entry relative and refuses "..".
func (t *tree) cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: a name has a zero byte", errUnsafe)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: it has a file %q", errUnsafe, name)
		}
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return ".", nil
	}
	if t.merge {
		head, _, inside := strings.Cut(name, "/")
		for _, d := range mergedDirs {
			if head == d {
				if !inside {
					return ".", nil // the link itself is made by us
				}
				return "usr/" + name, nil
			}
		}
	}
	return name, nil
}

// unpackTar unpacks an archive. Where two archives have the same path, the
// one of the higher rank wins, whatever the order of unpacking.
func (t *tree) unpackTar(ctx context.Context, r *tar.Reader, rank int) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := t.cleanName(h.Name)
		if err != nil {
			return err
		}
		if name == "." || t.drop != nil && t.drop(name) {
			continue
		}
		if err := t.entry(r, h, name, rank); err != nil && err != errKept {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func (t *tree) entry(r io.Reader, h *tar.Header, name string, rank int) error {
	name, err := t.place(name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(h.Mode) & 0o777
	switch h.Typeflag {
	case tar.TypeDir:
		if h.Mode&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		return t.mkdir(name, mode, rank)
	case tar.TypeReg, tar.TypeGNUSparse:
		return t.file(r, name, mode, rank)
	case tar.TypeSymlink:
		if h.Linkname == "" {
			return errors.New("a link to nothing")
		}
		return t.put(name, rank, func() error { return t.root.Symlink(h.Linkname, name) })
	case tar.TypeLink:
		return t.hardlink(h.Linkname, name, rank)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("entries of type %q are not known", h.Typeflag)
}

// place follows links in the directories of name, inside the root, and makes
// the directories that are missing.
func (t *tree) place(name string) (string, error) {
	dir, base := path.Split(name)
	real, err := t.follow(strings.TrimSuffix(dir, "/"), true)
	if err != nil {
		return "", err
	}
	return path.Join(real, base), nil
}

// follow returns the real directory of a path as seen from inside the root.
func (t *tree) follow(dir string, create bool) (string, error) {
	real, rest, links := ".", dir, 0
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real) // above the root is the root
			continue
		}
		next := path.Join(real, part)
		if t.isDir(next) {
			real = next
			continue
		}
		info, err := t.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && create:
			if err := t.mkdir(next, 0o755, -1); err != nil {
				return "", err
			}
			real = next
		case err != nil:
			return "", err
		case info.IsDir():
			t.noteDir(next)
			real = next
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > 40 {
				return "", fmt.Errorf("%w: links lead in a circle", errUnsafe)
			}
			target, err := t.root.Readlink(next)
			if err != nil {
				return "", err
			}
			if strings.HasPrefix(target, "/") {
				real = "."
			}
			rest = target + "/" + rest
		default:
			return "", fmt.Errorf("%w: %s is a file, not a directory", errUnsafe, next)
		}
	}
	return real, nil
}

func (t *tree) isDir(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.dirs[name]
	return ok
}

func (t *tree) noteDir(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirs[name] = struct{}{}
}

// mkdir makes a directory; one that is there, or a link to one, stays. Of a
// rank below 0, the mode of one that is there stays too.
func (t *tree) mkdir(name string, mode fs.FileMode, rank int) error {
	lock := t.lock(name)
	defer lock.Unlock()
	err := t.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		info, statErr := t.root.Lstat(name)
		switch {
		case statErr != nil:
			return statErr
		case info.Mode()&fs.ModeSymlink != 0:
			return nil
		case !info.IsDir():
			if !t.claim(name, rank) {
				return nil
			}
			if err := t.root.Remove(name); err != nil {
				return err
			}
			err = t.root.Mkdir(name, 0o755)
		case rank < 0 || !t.claim(name, rank):
			t.noteDir(name)
			return nil
		default:
			err = nil
		}
	}
	if err != nil {
		return err
	}
	t.claim(name, rank)
	if err := t.root.Chmod(name, mode); err != nil { // whatever the umask
		return err
	}
	t.noteDir(name)
	return nil
}

// claim says whether an archive of this rank may have the path, and notes it.
func (t *tree) claim(name string, rank int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.owner[name]; ok && old > rank {
		return false
	}
	t.owner[name] = rank
	return true
}

func (t *tree) lock(name string) *sync.Mutex {
	m := &t.stripes[maphash.String(t.seed, name)%uint64(len(t.stripes))]
	m.Lock()
	return m
}

// put makes something that is no directory with create, in place of what an
// archive of no higher rank made. A directory stays.
func (t *tree) put(name string, rank int, create func() error) error {
	lock := t.lock(name)
	defer lock.Unlock()
	if !t.claim(name, rank) {
		return errKept
	}
	err := create()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := t.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errKept
	}
	if err := t.root.Remove(name); err != nil {
		return err
	}
	return create()
}

// errKept says that what is there stays.
var errKept = errors.New("kept")

func (t *tree) file(r io.Reader, name string, mode fs.FileMode, rank int) error {
	var f *os.File
	err := t.put(name, rank, func() (err error) {
		f, err = t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	b := t.buffers.Get().(*[]byte)
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{r}, *b)
	t.buffers.Put(b)
	t.bytes.Add(n)
	t.files.Add(1)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

func (t *tree) hardlink(target, name string, rank int) error {
	from, err := t.cleanName(target)
	if err != nil {
		return err
	}
	dir, base := path.Split(from)
	real, err := t.follow(strings.TrimSuffix(dir, "/"), false)
	if err == nil {
		from = path.Join(real, base)
		var info fs.FileInfo
		if info, err = t.root.Lstat(from); err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("%w: a link to %q", errUnsafe, target)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if t.drop != nil && t.drop(from) {
			return nil
		}
		return fmt.Errorf("%w: a link to %q, which is not there", errUnsafe, target)
	}
	if err != nil {
		return err
	}
	if from == name {
		return nil
	}
	return t.put(name, rank, func() error { return t.root.Link(from, name) })
}
