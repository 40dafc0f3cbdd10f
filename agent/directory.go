package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
)

// owner is the user and group of everything that runs in containers.
const owner = 5001

// How directories begin that volumes were put aside in: trash is what was
// wished away, an orphan what no row of the kernel names any more, as after an
// older kernel was put back. An orphan's name goes on with when it was put
// aside and the instance's ID; it is deleted after keepOrphans.
const (
	trash       = ".trash-"
	orphan      = ".orphan-"
	orphanTime  = "20060102T150405Z"
	keepOrphans = 7 * 24 * time.Hour
)

// directories says where an agent keeps what.
type directories struct {
	data string
	run  string
}

func (d directories) volumes() string   { return filepath.Join(d.data, "volumes") }
func (d directories) logs() string      { return filepath.Join(d.data, "logs") }
func (d directories) actions() string   { return filepath.Join(d.data, "actions") }
func (d directories) instances() string { return filepath.Join(d.run, "instances") }

// make makes the directories, and puts a tmpfs under the one that holds
// secrets where the machine has none there.
func (d directories) make() error {
	for _, dir := range []string{d.volumes(), d.logs(), d.actions(), d.instances()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	if err := syncDir(d.data); err != nil {
		return err
	}
	on, err := onTmpfs(d.instances())
	if err != nil || on {
		return err
	}
	if err := unix.Mount("volvox", d.instances(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711"); err != nil {
		return fmt.Errorf("mount a tmpfs at %s: %w", d.instances(), err)
	}
	return nil
}

// unmount takes the tmpfs of make away again, if there is one.
func (d directories) unmount() error {
	err := unix.Unmount(d.instances(), unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // not a mount point, not there
		return nil
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", d.instances(), err)
	}
	return nil
}

func onTmpfs(dir string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return false, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	return s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC, nil
}

// found returns the IDs of all instances that have left something in the
// directories.
func (d directories) found() ([]volvox.ID, error) {
	seen := map[volvox.ID]bool{}
	for _, dir := range []string{d.volumes(), d.instances(), d.logs()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("look for what is left of instances: %w", err)
		}
		for _, e := range entries {
			id, _, _ := strings.Cut(e.Name(), ".")
			if id = strings.TrimSuffix(id, jobSuffix); id != "" {
				seen[volvox.ID(id)] = true
			}
		}
	}
	var ids []volvox.ID
	for id := range seen {
		ids = append(ids, id)
	}
	return ids, nil
}

// makeVolume makes a volume's directory, durably.
func (d directories) makeVolume(id volvox.ID, name string) error {
	parent := filepath.Join(d.volumes(), string(id))
	dir := filepath.Join(parent, name)
	if s, err := os.Lstat(dir); err == nil && s.IsDir() && s.Sys().(*syscall.Stat_t).Uid == owner {
		return nil
	}
	for _, step := range []func() error{
		func() error { return os.MkdirAll(dir, 0o700) },
		func() error { return os.Chmod(dir, 0o700) },
		func() error { return os.Lchown(dir, owner, owner) },
		func() error { return syncDir(dir) },
		func() error { return syncDir(parent) },
		func() error { return syncDir(d.volumes()) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("make volume %s: %w", name, err)
		}
	}
	return nil
}

// discard puts an instance's volumes aside, durably, so that deleting them
// may take its time.
func (d directories) discard(id volvox.ID) error {
	_, err := d.putAside(id, trash+string(id)+"-"+string(volvox.NewID()))
	return err
}

// quarantine puts volumes aside that nobody has wished away, and returns
// where they are; empty if there are none.
func (d directories) quarantine(id volvox.ID) (string, error) {
	return d.putAside(id, orphan+time.Now().UTC().Format(orphanTime)+"-"+string(id))
}

func (d directories) putAside(id volvox.ID, name string) (string, error) {
	to := filepath.Join(d.volumes(), name)
	err := os.Rename(filepath.Join(d.volumes(), string(id)), to)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("put volumes aside: %w", err)
	}
	return to, syncDir(d.volumes())
}

// emptyTrash deletes what discard put aside, and what quarantine did: all of
// it, or what has been there for long enough.
func (d directories) emptyTrash(ctx context.Context, orphans bool) error {
	entries, err := os.ReadDir(d.volumes())
	if err != nil {
		return fmt.Errorf("look for old volumes: %w", err)
	}
	for _, e := range entries {
		since, old := strings.CutPrefix(e.Name(), orphan)
		if old && !orphans {
			since, _, _ = strings.Cut(since, "-")
			at, err := time.Parse(orphanTime, since)
			old = err == nil && time.Since(at) >= keepOrphans
		}
		if !old && !strings.HasPrefix(e.Name(), trash) {
			continue
		}
		if err := errors.Join(ctx.Err(), removeAll(filepath.Join(d.volumes(), e.Name()))); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file at once and not in parts, and leaves it alone if
// it is the same already. Only a durable one survives a fall of the machine.
func writeFile(path string, content []byte, mode fs.FileMode, uid int, durable bool) (err error) {
	if s, err := os.Lstat(path); err == nil && s.Mode() == mode && s.Sys().(*syscall.Stat_t).Uid == uint32(uid) {
		if old, err := os.ReadFile(path); err == nil && string(old) == string(content) {
			return nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Chown(uid, uid); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if durable {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if durable {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
