package image

import (
	"debug/elf"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/volvox-os/volvox/agent"
)

// TestThisMachinesSources makes an image from the real sources of this
// machine: every program in it finds its libraries, and a script of POSIX sh
// finds its tools.
func TestThisMachinesSources(t *testing.T) {
	lists, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	if _, err := os.Stat("/etc/apt/sources.list"); err != nil && len(lists) == 0 {
		t.Skip("this machine has no apt sources")
	}
	if testing.Short() {
		t.Skip("-short: it fetches 20 MB")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can change into the image")
	}
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	img := must(t, s, "deb:busybox-static,tzdata")
	t.Logf("%d packages, %s, %s", len(img.Packages), bytesText(img.Bytes), img.Digest)

	checkLibraries(t, img)
	for command, want := range map[string]string{
		"/usr/bin/busybox echo hello":                                     "hello\n",
		`printf 'a b\nc d\n' | awk '{print $2}' | sed s/d/e/ | grep -c .`: "2\n",
		"find /etc -name passwd -exec cat {} + | wc -l":                   "3\n",
		"timeout 5 date -d @0 +%Y":                                        "1970\n",
		"TZ=Europe/Berlin date -d @0 +%H":                                 "01\n",
		"LC_ALL=C.UTF-8 locale charmap":                                   "UTF-8\n",
		"getent passwd volvox | cut -d: -f3; id -un 5001; ls -d /data":    "5001\nvolvox\n/data\n",
		"cat /etc/os-release | grep -q ^ID= && echo yes":                  "yes\n",
	} {
		if got := inside(t, img.Rootfs, "/bin/sh", "-c", command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(img.Rootfs, "usr/bin/perl")); err == nil {
		t.Error("perl is in the image")
	}
	if again := must(t, s, "deb:tzdata,busybox-static"); again.Digest != img.Digest {
		t.Errorf("the order of names changes the image: %s", again.Digest)
	}
}

// inside runs a program in the image as its user.
func inside(t *testing.T, rootfs string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Path = command[0]
	cmd.Err = nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: rootfs, Credential: &syscall.Credential{Uid: userID, Gid: userID}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out) + err.Error()
	}
	return string(out)
}

// checkLibraries asks the image's own loader about every program in it.
func checkLibraries(t *testing.T, img agent.Image) {
	t.Helper()
	checked := 0
	for _, dir := range []string{"usr/bin", "usr/sbin"} {
		err := filepath.WalkDir(filepath.Join(img.Rootfs, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			loader := interpreter(path)
			if loader == "" {
				return nil
			}
			checked++
			name := strings.TrimPrefix(path, img.Rootfs)
			out := inside(t, img.Rootfs, loader, "--list", name)
			if strings.Contains(out, "not found") || !strings.Contains(out, "libc.so") {
				t.Errorf("%s: %s", name, out)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 50 {
		t.Errorf("only %d programs were found", checked)
	}
}

// interpreter returns the loader that a program names; empty when it is not
// a program or a static one.
func interpreter(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return ""
			}
			return strings.TrimRight(string(b), "\x00")
		}
	}
	return ""
}
