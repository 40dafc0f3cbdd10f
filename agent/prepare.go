package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// path is a directory in the instance's run directory.
func (k *keeper) path(name string) string { return filepath.Join(k.a.runDir(k.id), name) }

func (k *keeper) volume(m instance.Mount) string {
	return filepath.Join(k.a.dir.volumes(), string(k.id), m.Name)
}

// byPath sorts volumes so that what holds another one comes first.
func byPath(ms []instance.Mount) []instance.Mount {
	return slices.SortedFunc(slices.Values(ms), func(a, b instance.Mount) int { return strings.Compare(a.Path, b.Path) })
}

// prepare makes all that a container of the instance needs: image, volumes,
// files, secrets, network. What is there already is left alone.
func (k *keeper) prepare(ctx context.Context, w instance.Wish) error {
	want := digest(w.Spec)
	if k.prepared == want {
		return nil
	}
	k.report("", func(f *instance.Report) {
		if f.Phase == volvox.Pending {
			f.Phase = volvox.Creating
		}
	})
	image, err := k.fetch(ctx, w)
	if err != nil {
		return err
	}
	if err := k.makeVolumes(w.Spec); err != nil {
		return err
	}
	if err := k.makeFiles(w.Spec); err != nil {
		return err
	}
	if err := k.makeSecrets(ctx, w.Spec); err != nil {
		return err
	}
	netns, err := k.a.o.Network.Attach(ctx, string(k.id), w.Instance.Address)
	if err != nil {
		return fmt.Errorf("attach %s to the network: %w", w.Instance.Address, err)
	}
	k.rootfs, k.image, k.netns, k.prepared = image.Rootfs, image.Digest, netns, want
	return nil
}

// fetch brings the instance's image to the machine and says what it does.
func (k *keeper) fetch(ctx context.Context, w instance.Wish) (Image, error) {
	var said time.Time // progress may come fast, and each report is a transaction
	return k.a.images.ensure(ctx, w.Spec.Image, func(doing string) {
		if now := time.Now(); now.Sub(said) >= time.Second {
			said = now
			k.report("", func(f *instance.Report) { f.Message = doing })
		}
	})
}

func (k *keeper) makeVolumes(s instance.Spec) error {
	var made []instance.Mount
	for _, m := range byPath(s.Volumes) {
		if m.Name == "" || m.Name != filepath.Base(m.Name) || strings.HasPrefix(m.Name, ".") ||
			m.Path != path.Clean(m.Path) || (m.Path != "/data" && !strings.HasPrefix(m.Path, "/data/")) {
			return volvox.Errorf(volvox.BadInput, "volume %q cannot be at %s", m.Name, m.Path).
				Because("volumes are at /data or below it")
		}
		if err := k.a.dir.makeVolume(k.id, m.Name); err != nil {
			return err
		}
		if m.Path != "/data" {
			if err := k.makeTarget(made, m); err != nil {
				return err
			}
		}
		made = append(made, m)
	}
	return nil
}

// makeTarget makes the directory in the volume that holds another one, at
// which that one is seen.
func (k *keeper) makeTarget(made []instance.Mount, m instance.Mount) error {
	for _, outer := range slices.Backward(made) {
		inside, ok := strings.CutPrefix(m.Path, outer.Path+"/")
		if !ok {
			continue
		}
		root, err := os.OpenRoot(k.volume(outer)) // a program could have put a link there
		if err != nil {
			return err
		}
		defer root.Close()
		return errors.Join(root.MkdirAll(inside, 0o755), root.Lchown(inside, owner, owner))
	}
	return volvox.Errorf(volvox.BadInput, "volume %q cannot be at %s", m.Name, m.Path).
		Because("there must be a volume at /data that holds it")
}

// makeFiles writes the files of the spec and removes others.
func (k *keeper) makeFiles(s instance.Spec) error {
	if err := os.MkdirAll(k.a.runDir(k.id), 0o700); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		mode fs.FileMode
		uid  int
	}{{"config", 0o755, 0}, {"scripts", 0o755, 0}, {"secrets", 0o500, owner}, {"tmp", 0o700, owner}, {"run", 0o700, owner}} {
		dir := k.path(d.name)
		if err := os.MkdirAll(dir, d.mode); err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(dir, d.mode), os.Lchown(dir, d.uid, d.uid)); err != nil {
			return err
		}
	}
	keep := map[string]bool{}
	for _, f := range s.Files {
		if f.Path != path.Clean(f.Path) || (!strings.HasPrefix(f.Path, "/config/") && !strings.HasPrefix(f.Path, "/scripts/")) {
			return volvox.Errorf(volvox.BadInput, "a file cannot be at %q", f.Path).Because("files are below /config or /scripts")
		}
		at := k.path(f.Path)
		for dir := at; dir != k.a.runDir(k.id); dir = filepath.Dir(dir) {
			keep[dir] = true
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := writeFile(at, []byte(f.Content), fs.FileMode(f.Mode)&fs.ModePerm, 0, false); err != nil {
			return err
		}
	}
	return errors.Join(prune(k.path("config"), keep), prune(k.path("scripts"), keep))
}

// prune removes what is below dir and not to be kept.
func prune(dir string, keep map[string]bool) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir || keep[p] {
			return err
		}
		if err := removeAll(p); err != nil || !d.IsDir() {
			return err
		}
		return fs.SkipDir
	})
}

// makeSecrets writes the secrets of the spec. One that cannot be asked for
// now, since the control is away, stays as it is if it is there.
func (k *keeper) makeSecrets(ctx context.Context, s instance.Spec) error {
	dir := k.path("secrets")
	keep := map[string]bool{}
	for _, name := range s.Secrets {
		at := filepath.Join(dir, path.Base(name))
		if filepath.Dir(at) != dir || keep[at] {
			return volvox.Errorf(volvox.BadInput, "secret %q cannot be a file", name).
				Because("the last elements of the names of an instance's secrets are different file names")
		}
		keep[at] = true
		value, err := k.a.o.Control.Secret(ctx, k.a.o.Machine.Name, k.id, name)
		if err != nil {
			if _, there := os.Lstat(at); there == nil && passing(failure(err)) && ctx.Err() == nil {
				continue
			}
			return fmt.Errorf("get secret %s: %w", name, err)
		}
		if err := writeFile(at, []byte(value), 0o400, owner, false); err != nil {
			return err
		}
	}
	return prune(dir, keep)
}

// freshen empties what a program that starts must not find of an earlier
// one: its sockets, locks and temporary files. Nothing of the instance runs.
func (k *keeper) freshen() error {
	return errors.Join(empty(k.path("tmp")), empty(k.path("run")))
}
