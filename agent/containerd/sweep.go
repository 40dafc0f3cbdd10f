package containerd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// bundleDirs are where containerd keeps a container's bundle: on tmpfs, and
// the working directory among the durable state.
func (r *Runtime) bundleDirs() []string {
	const plugin = "io.containerd.runtime.v2.task"
	return []string{
		filepath.Join(r.daemon.state(), plugin, r.ns),
		filepath.Join(r.opt.Root, plugin, r.ns),
	}
}

// leftovers returns the containers of which something is there that is not
// containerd's record: a bundle or a control group.
func (r *Runtime) leftovers() []string {
	ids := r.cgroups.list()
	entries, _ := os.ReadDir(r.bundleDirs()[0])
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return slices.DeleteFunc(ids, func(id string) bool { return !idText.MatchString(id) })
}

// sweep removes what is left of a container that containerd no longer knows.
// Unless it was let go of in order, that can be a shim with its processes.
func (r *Runtime) sweep(ctx context.Context, id string, clean bool) error {
	var errs []error
	if !clean {
		errs = append(errs, r.killShims(id), r.forceDelete(ctx, id))
		os.Remove(shimSocket(r.daemon.socket, r.ns, id))
	}
	errs = append(errs, r.cgroups.remove(id))
	for _, dir := range r.bundleDirs() {
		bundle := filepath.Join(dir, id)
		unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH)
		errs = append(errs, os.RemoveAll(bundle))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove leftovers: %w", err)
	}
	return nil
}

// shimSocket is where a container's shim listens. A shim that is killed leaves
// it, outside of our directories.
func shimSocket(address, ns, id string) string {
	return fmt.Sprintf("/run/containerd/s/%x", sha256.Sum256([]byte(filepath.Join(address, ns, id))))
}

// killShims ends every shim of the container, and waits for it.
func (r *Runtime) killShims(id string) error {
	for _, pid := range findProcesses(func(args []string) bool { return r.isShim(args, id) }) {
		p, err := holdProcess(pid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		if r.isShim(readArgs(pid), id) {
			err = p.signal(unix.SIGKILL)
		}
		if err == nil {
			<-p.ended
		}
		p.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// isShim says whether arguments are those of a shim of ours; of any
// container if the id is empty.
func (r *Runtime) isShim(args []string, id string) bool {
	if len(args) == 0 || filepath.Base(args[0]) != "containerd-shim-runc-v2" {
		return false
	}
	flag := func(name string) string {
		if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	return flag("-namespace") == r.ns && flag("-address") == r.daemon.socket && (id == "" || flag("-id") == id)
}

// forceDelete makes runc forget the container and end its processes.
func (r *Runtime) forceDelete(ctx context.Context, id string) error {
	root := filepath.Join(r.runcRoot(), r.ns)
	if _, err := os.Stat(filepath.Join(root, id)); err != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, r.opt.RuncBinary, "--root", root, "delete", "--force", id).CombinedOutput()
	if err != nil {
		// Half-made state that runc cannot read holds no more than the control
		// group does, which is emptied next.
		r.log.Warn("runc could not delete a container", "container", id, "cause", err, "output", string(out))
	}
	return os.RemoveAll(filepath.Join(root, id))
}
