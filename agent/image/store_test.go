package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/apt"
)

func TestPresentImageNeedsNobody(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("test", r)
	dir := t.TempDir()
	first := must(t, h.store(dir), "deb:engine")
	r.server.Close()
	again := must(t, h.store(dir), "deb:engine")
	if again.Digest != first.Digest || again.Rootfs != first.Rootfs || again.Bytes != first.Bytes || len(again.Packages) != len(first.Packages) {
		t.Errorf("got %+v, want %+v", again, first)
	}
	// a root file system that somebody took away is made again
	if err := os.RemoveAll(first.Rootfs); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store(dir).Ensure(t.Context(), "deb:engine", nil); err != nil {
		t.Error("packages and indexes are kept, but:", err)
	}
}

// An image made by older rules is made anew, unless that fails.
func TestOlderRules(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("test", r)
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(archive, tarOf(t, file{name: "x", text: "x"}), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"deb:engine", "file:" + archive} {
		dir := t.TempDir()
		old := h.store(dir)
		old.rules = "older"
		first := must(t, old, ref)
		second := must(t, h.store(dir), ref)
		if first.Digest == second.Digest {
			t.Errorf("%s: the rules changed, but not the digest", ref)
		}
		if third := must(t, h.store(dir), ref); third.Digest != second.Digest {
			t.Errorf("%s: made anew again", ref)
		}
	}
	dir := t.TempDir()
	old := h.store(dir)
	old.rules = "older"
	first := must(t, old, "deb:engine")
	h.write("etc/apt/sources.list.d/test.list", "")
	if second := must(t, h.store(dir), "deb:engine"); second.Digest != first.Digest {
		t.Errorf("got %+v", second)
	}
}

func TestTheSameContentsAreOneImage(t *testing.T) {
	t.Parallel()
	r := simple(t)
	s := newHost(t).trusting("test", r).store("")
	a, b := must(t, s, "deb:engine"), must(t, s, "deb:engine=2.0,sed")
	if a.Digest != b.Digest || a.Rootfs != b.Rootfs || b.Ref != "deb:engine=2.0,sed" {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestConcurrentEnsureIsOneBuild(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("test", r)
	dir := t.TempDir()
	stores := []*Store{h.store(dir), h.store(dir)} // as two processes
	var wg sync.WaitGroup
	var told atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			img, err := stores[i%2].Ensure(t.Context(), "deb:engine", func(string) { told.Add(1) })
			if err != nil || img.Digest == "" {
				t.Errorf("%+v, %v", img, err)
			}
		})
	}
	wg.Wait()
	if n := r.asked("pool/engine"); n != 1 {
		t.Errorf("the package was fetched %d times", n)
	}
	if told.Load() == 0 {
		t.Error("nobody was told of progress")
	}
	if left := leftovers(stores[0]); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	r := simple(t)
	r.add("other", "1", "")
	r.publish()
	s := newHost(t).trusting("test", r).store("")
	engine, both, other := must(t, s, "deb:engine"), must(t, s, "deb:engine,other"), must(t, s, "deb:other")
	must(t, s, "deb:other,sed") // the same as other
	removed, err := s.Collect(t.Context(), []string{"deb:engine", both.Digest})
	if err != nil || len(removed) != 2 || removed[0].Ref != "deb:other" || removed[1].Ref != "deb:other,sed" || removed[1].Digest != other.Digest {
		t.Errorf("removed %+v, %v", removed, err)
	}
	for dir, want := range map[string]bool{engine.Rootfs: true, both.Rootfs: true, filepath.Dir(other.Rootfs): false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if blobs, _ := os.ReadDir(filepath.Join(s.dir, "blobs")); len(blobs) != len(basePackages)+2 {
		t.Errorf("%d packages are kept", len(blobs))
	}
	long := time.Now().Add(-25 * time.Hour)
	for _, pattern := range []string{"blobs/*", "lists/*"} {
		found, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		for _, f := range found {
			if err := os.Chtimes(f, long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	if removed, err := s.Collect(t.Context(), []string{engine.Digest}); err != nil || len(removed) != 1 || removed[0].Ref != both.Ref {
		t.Errorf("removed %+v, %v", removed, err)
	}
	if blobs, _ := filepath.Glob(filepath.Join(s.dir, "[bl][li][os][bt]s/*")); len(blobs) != 0 {
		t.Errorf("unused, but kept: %v", blobs)
	}
	must(t, s, "deb:other")
	if left := leftovers(s); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestCollectWhileEnsuring(t *testing.T) {
	t.Parallel()
	r := simple(t)
	s := newHost(t).trusting("test", r).store("")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				ref := []string{"deb:engine", "deb:engine,sed", "deb:engine=2.0", "deb:sed"}[(i+j)%4]
				if _, err := s.Ensure(t.Context(), ref, nil); err != nil {
					t.Error(err)
				}
				if _, err := s.Collect(t.Context(), []string{"deb:nothing"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left := leftovers(s); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	s := newHost(t).store("")
	plain := tarOf(t, file{name: "bin/", kind: '5', mode: 0o755}, file{name: "bin/sh", text: "sh", mode: 0o4755},
		file{name: "etc/passwd", text: "root:x:0:0::/:/bin/sh\nvolvox:x:1:1::/:/bin/sh\nalice:x:7:7::/:/bin/sh"}, file{name: "tmp", kind: '5', mode: 0o755})
	dir := t.TempDir()
	digests := map[string]bool{}
	for ending, b := range map[string][]byte{".tar": plain, ".tar.gz": gz(t, plain), ".tar.xz": packed(t, "xz", plain), ".tar.zst": packed(t, "zst", plain)} {
		name := filepath.Join(dir, "image"+ending)
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		img := must(t, s, "file:"+name)
		digests[img.Digest] = true
		if got := readFile(t, filepath.Join(img.Rootfs, "etc/passwd")); got != "root:x:0:0::/:/bin/sh\nalice:x:7:7::/:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nvolvox:x:5001:5001:Volvox:/tmp:/bin/sh\n" {
			t.Errorf("etc/passwd is %q", got)
		}
		for name, want := range map[string]os.FileMode{"bin/sh": 0o755, "tmp": os.ModeDir | os.ModeSticky | 0o777, "secrets": os.ModeDir | 0o755} {
			if info, err := os.Lstat(filepath.Join(img.Rootfs, name)); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
	}
	if len(digests) != 4 {
		t.Errorf("%d digests of 4 archives", len(digests))
	}

	name := filepath.Join(dir, "image.tar")
	first := must(t, s, "file:"+name)
	if err := os.WriteFile(name, tarOf(t, file{name: "other", text: "x"}), 0o644); err != nil {
		t.Fatal(err)
	}
	second := must(t, s, "file:"+name)
	if first.Digest == second.Digest {
		t.Error("a changed archive has the same digest")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if third := must(t, s, "file:"+name); third.Digest != second.Digest {
		t.Error("an archive that is gone changed the image")
	}
	if removed, err := s.Collect(t.Context(), []string{second.Digest}); err != nil || len(removed) != 4 {
		t.Errorf("removed %+v, %v", removed, err)
	}
}

func TestBadArchives(t *testing.T) {
	t.Parallel()
	s := newHost(t).store("")
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"text.tar": []byte("this is no archive"), "empty.tar": {}, "nothing.tar": tarOf(t),
		"cut.tar.gz": gz(t, tarOf(t, file{name: "a", text: strings.Repeat("x", 5000)}))[:60],
		"dots.tar":   tarOf(t, file{name: "../x", text: "x"}), "wrong.zip": nil,
		"etc.tar": tarOf(t, file{name: "etc", text: "a file"}), "circle.tar": tarOf(t, file{name: "x", text: "x"}, file{name: "etc", link: "etc"}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		refused(t, s, "file:"+filepath.Join(dir, name), volvox.BadImage, name)
	}
	for _, ref := range []string{"file:" + dir + "/none.tar", "file:relative.tar", "file:" + dir, "deb:", "deb:a b", "deb:a=", "deb:../x", "oci:x", ""} {
		refused(t, s, ref, volvox.BadImage)
	}
}

func packed(t *testing.T, how string, b []byte) []byte {
	t.Helper()
	var out strings.Builder
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	if how == "xz" {
		w, err = xz.NewWriter(&out)
	} else {
		w, err = zstd.NewWriter(&out)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}

func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	r := newRepo(t)
	big := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, packs well
	r.add("fits", "1", "", file{name: "./small", text: "x"})
	r.add("big", "1", "Installed-Size: 1", file{name: "./a", text: big}, file{name: "./b", text: big})
	r.add("honest", "1", "Installed-Size: 4096", file{name: "./a", text: big}, file{name: "./b", text: big})
	r.publish()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := newHost(t).trusting("test", r).store(dir)
	refused(t, s, "deb:honest", volvox.DiskFull, "the disk has no room", "are free")
	if n := r.asked("pool/"); n != 0 {
		t.Errorf("%d packages were fetched although there is no room", n)
	}
	refused(t, s, "deb:big", volvox.DiskFull, "the disk is full")
	must(t, s, "deb:fits")
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(archive, tarOf(t, file{name: "a", text: big}, file{name: "b", text: big}), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, s, "file:"+archive, volvox.DiskFull)
	if _, err := s.Collect(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rest"), []byte(big), 0o644); err == nil {
		t.Error("the file system is not small")
	}
	refused(t, s, "deb:sed", volvox.DiskFull)
}

// crashEnv tells the test binary to build an image and say what it does.
const crashEnv = "VOLVOX_IMAGE_TEST_BUILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(crashEnv); args != "" {
		os.Exit(crashChild(strings.Split(args, "\n")))
	}
	os.Exit(m.Run())
}

func crashChild(args []string) int {
	s, err := Open(context.Background(), Options{Dir: args[0], Sources: apt.Options{Root: args[1], Arch: "amd64"}})
	if err == nil {
		_, err = s.Ensure(context.Background(), args[2], func(what string) { fmt.Println(what) })
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// A process killed at any moment leaves only what the next Open removes.
func TestKilled(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	text := strings.Repeat("some text to write\n", 1<<14)
	r.add("engine", "2.0", "", file{name: "./usr/bin/engine", text: text}, file{name: "./usr/lib/a", text: text})
	r.publish()
	h := newHost(t).trusting("test", r)
	swept := 0
	for point := range 14 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), crashEnv+"="+dir+"\n"+h.root+"\ndeb:engine")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		// killed at the request of this number, or at this word
		var requests atomic.Int64
		started, word := make(chan struct{}), ""
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if int(requests.Add(1)) == point+1 {
				<-started
				_ = cmd.Process.Kill()
			}
			return false
		})
		if point >= 12 {
			word = "unpacking"
			r.setHook(nil)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == word {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		r.setHook(nil)
		staging, _ := os.ReadDir(filepath.Join(dir, "staging"))
		swept += len(staging)
		s := h.store(dir)
		if staging, _ := os.ReadDir(filepath.Join(dir, "staging")); len(staging) > 0 {
			t.Errorf("killed at %d: Open left %v", point, staging)
		}
		img := must(t, s, "deb:engine")
		if got := readFile(t, filepath.Join(img.Rootfs, "usr/bin/engine")); got != text {
			t.Errorf("killed at %d: the file is not whole", point)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if swept == 0 {
		t.Error("no process was killed while it made an image: the test tests nothing")
	}
}

// What a living process makes is not swept away by another one's Open.
func TestSweepLeavesTheLiving(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	dir := t.TempDir()
	s := h.store(dir)
	st, err := s.newStaging()
	if err != nil {
		t.Fatal(err)
	}
	other := h.store(dir)
	if _, err := os.Stat(filepath.Join(st.dir, "rootfs")); err != nil {
		t.Error("swept although its process lives:", err)
	}
	_ = st.lock.Close() // as when the process ends
	other.sweep()
	if _, err := os.Stat(st.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("not swept although its process has ended")
	}
}
