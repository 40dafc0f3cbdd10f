package runtimetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// UID is the user of containers made from [Rootfs].
const UID = 5001

var installing sync.Mutex

// busybox returns a static busybox, installing it if it is not there.
func busybox(t testing.TB) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if path, err := exec.LookPath("busybox"); err == nil {
		return path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "apt-get", "install", "-y", "busybox-static")
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("install busybox-static: %v\n%s", err, out)
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Rootfs makes a root directory like those that images have: a busybox with
// its applets, the directories to mount on, and a user volvox (uid [UID]).
func Rootfs(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	if err := makeRootfs(busybox(t), root); err != nil {
		t.Fatalf("make a root directory: %v", err)
	}
	return root
}

func makeRootfs(program, root string) error {
	for _, dir := range []string{"bin", "etc", "data", "config", "scripts", "secrets", "tmp", "run", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), b, 0o755); err != nil {
		return err
	}
	list, err := exec.Command(program, "--list").Output()
	if err != nil {
		return fmt.Errorf("list the applets of %s: %w", program, err)
	}
	for _, applet := range strings.Fields(string(list)) {
		if applet == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			return err
		}
	}
	passwd := fmt.Sprintf("root:x:0:0::/:/bin/sh\nvolvox:x:%d:%d::/data:/bin/sh\n", UID, UID)
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "etc/group"), fmt.Appendf(nil, "root:x:0:\nvolvox:x:%d:\n", UID), 0o644)
}
