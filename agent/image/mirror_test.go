package image

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/apt"
)

// must ensures a reference that can be had.
func must(t *testing.T, s *Store, ref string) agent.Image {
	t.Helper()
	img, err := s.Ensure(t.Context(), ref, nil)
	if err != nil {
		t.Fatalf("Ensure(%s): %v (%s)", ref, err, volvox.CodeOf(err))
	}
	return img
}

// refused expects the code, and the words in the error, and nothing left.
func refused(t *testing.T, s *Store, ref string, code volvox.Code, words ...string) {
	t.Helper()
	img, err := s.Ensure(t.Context(), ref, nil)
	e := volvox.AsError(err)
	if e == nil || e.Code != code {
		t.Fatalf("Ensure(%s) = %v, %v (%s), want %s", ref, img, err, volvox.CodeOf(err), code)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("%q is not in the error: %v", w, e)
		}
	}
	if left := leftovers(s); len(left) > 0 {
		t.Errorf("after the error there is %v", left)
	}
}

// leftovers names what is half-made: staging directories, files being
// written, images without a record, references to no image.
func leftovers(s *Store) (left []string) {
	for _, pattern := range []string{"staging/*", "*/" + apt.TempPrefix + "*"} {
		found, _ := filepath.Glob(filepath.Join(s.dir, pattern))
		left = append(left, found...)
	}
	images, _ := filepath.Glob(filepath.Join(s.dir, "sha256-*"))
	for _, dir := range images {
		rec, err := readRecord(dir)
		if _, statErr := os.Stat(filepath.Join(dir, "rootfs/etc/passwd")); err != nil || statErr != nil || s.imageDir(rec.Digest) != dir {
			left = append(left, dir)
		}
	}
	refs, _ := s.references()
	for _, rr := range refs {
		if _, err := readRecord(s.imageDir(rr.Digest)); err != nil {
			left = append(left, rr.Ref)
		}
	}
	return left
}

func TestBuildPackages(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.add("engine", "2.0", "Depends: libengine (>= 1), perl, debconf | cdebconf\nInstalled-Size: 10",
		file{name: "./", kind: '5', mode: 0o755},
		file{name: "./usr/bin/engine", text: "run", mode: 0o4755},
		file{name: "./bin/tool", text: "tool", mode: 0o755},
		file{name: "./usr/share/doc/engine/copyright", text: "no"},
		file{name: "./usr/bin/engine2", link: "./usr/bin/engine", kind: '1'})
	r.add("libengine", "1.5", "", file{name: "./usr/lib/libengine.so.1", text: "elf"}, file{name: "./usr/lib/libengine.so", link: "libengine.so.1"},
		file{name: "./var/state/", kind: '5', mode: 0o700})
	r.publish()
	s := newHost(t).trusting("test", r).store("")
	var said []string
	img, err := s.Ensure(t.Context(), "deb:engine", func(w string) { said = append(said, w) })
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(said, "; "); !strings.HasPrefix(got, fmt.Sprintf("resolving engine; fetching %d packages, ", len(basePackages)+2)) || !strings.HasSuffix(got, "; unpacking") {
		t.Errorf("progress: %s", got)
	}
	if len(img.Packages) != len(basePackages)+2 || img.Packages[3].Name != "engine" || img.Packages[3].Version != "2.0" || img.Bytes == 0 || img.Digest != digestPackages(rulesID(), img.Packages) {
		t.Errorf("image: %+v", img)
	}
	for name, want := range map[string]string{
		"usr/bin/engine": "run", "usr/bin/engine2": "run", "usr/bin/tool": "tool", "bin/tool": "tool", "usr/lib/libengine.so": "elf",
		"etc/group": "root:x:0:\nnogroup:x:65534:\nvolvox:x:5001:\n", "etc/resolv.conf": "",
	} {
		if b, err := os.ReadFile(filepath.Join(img.Rootfs, name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	for name, want := range map[string]os.FileMode{
		"usr/bin/engine": 0o755, "var/state": os.ModeDir | 0o700, "tmp": os.ModeDir | os.ModeSticky | 0o777, "data": os.ModeDir | 0o755,
		"": os.ModeDir | 0o755, "usr/lib": os.ModeDir | 0o755, "lib": os.ModeSymlink | 0o777, "usr/bin/sh": os.ModeSymlink | 0o777,
	} {
		if info, err := os.Lstat(filepath.Join(img.Rootfs, name)); err != nil || info.Mode() != want {
			t.Errorf("mode of %q is %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	for _, name := range []string{"usr/share/doc", "lib64", "usr/lib64"} {
		if _, err := os.Lstat(filepath.Join(img.Rootfs, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestSignatures(t *testing.T) {
	other := armored(t, newKey(t))
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, r *repo, h *host)
		code  volvox.Code // empty: accepted
		words string
	}{
		{"good", func(t *testing.T, r *repo, h *host) {}, "", ""},
		{"other key", func(t *testing.T, r *repo, h *host) { h.write("usr/share/keyrings/test.asc", other) },
			volvox.Signature, "no key that this source trusts"},
		{"one of several keys", func(t *testing.T, r *repo, h *host) {
			h.write("usr/share/keyrings/test.asc", other+armored(t, r.key))
		}, "", ""},
		{"keyring gone", func(t *testing.T, r *repo, h *host) {
			_ = os.Remove(filepath.Join(h.root, "usr/share/keyrings/test.asc"))
		},
			volvox.Signature, "Signed-By"},
		{"no key at all", func(t *testing.T, r *repo, h *host) {
			h.write("etc/apt/sources.list.d/test.list", "deb "+r.server.URL+" stable main\n")
		}, volvox.Signature, "no key for it"},
		{"trusted.gpg.d", func(t *testing.T, r *repo, h *host) {
			h.write("etc/apt/trusted.gpg.d/x.asc", armored(t, r.key)).write("etc/apt/sources.list.d/test.list", "deb "+r.server.URL+" stable main\n")
		}, "", ""},
		{"fingerprint", func(t *testing.T, r *repo, h *host) {
			h.write("etc/apt/trusted.gpg.d/x.asc", armored(t, r.key)+other)
			h.write("etc/apt/sources.list.d/test.list", fmt.Sprintf("deb [signed-by=%X] %s stable main\n", r.key.PrimaryKey.Fingerprint, r.server.URL))
		}, "", ""},
		{"other fingerprint", func(t *testing.T, r *repo, h *host) {
			h.write("etc/apt/trusted.gpg.d/x.asc", armored(t, r.key))
			h.write("etc/apt/sources.list.d/test.list", fmt.Sprintf("deb [signed-by=%040X] %s stable main\n", 1, r.server.URL))
		}, volvox.Signature, "no key for it"},
		{"changed after signing", func(t *testing.T, r *repo, h *host) {
			r.change("dists/stable/InRelease", "Suite: stable", "Suite: stabler")
		}, volvox.Signature, "the signature is wrong"},
		{"more after the signature", func(t *testing.T, r *repo, h *host) {
			r.change("dists/stable/InRelease", "-----END PGP SIGNATURE-----", "-----END PGP SIGNATURE-----\n\nOrigin: Evil\n")
		}, volvox.Signature, "something follows"},
		{"expired", func(t *testing.T, r *repo, h *host) { r.valid = -time.Hour; r.publish() },
			volvox.Signature, "was valid until"},
		{"expired, but apt does not check", func(t *testing.T, r *repo, h *host) {
			r.valid = -time.Hour
			r.publish()
			h.write("etc/apt/apt.conf.d/x", `Acquire::Check-Valid-Until "false";`)
		}, "", ""},
		{"not signed", func(t *testing.T, r *repo, h *host) {
			r.replaceInRelease("")
		}, volvox.Signature, "it is not signed"},
		{"detached", func(t *testing.T, r *repo, h *host) { r.replaceInRelease(""); r.detach = true; r.publish() }, "", ""},
		{"detached, changed", func(t *testing.T, r *repo, h *host) {
			r.replaceInRelease("")
			r.detach = true
			r.publish()
			r.change("dists/stable/Release", "Suite: stable", "Suite: stabler")
		}, volvox.Signature, "the signature is wrong"},
		{"not signed, but trusted", func(t *testing.T, r *repo, h *host) {
			r.replaceInRelease("")
			h.write("etc/apt/sources.list.d/test.list", "deb [trusted=yes] "+r.server.URL+" stable main\n")
		}, "", ""},
		{"no release file, but trusted", func(t *testing.T, r *repo, h *host) {
			_ = os.Remove(filepath.Join(r.dir, "dists/stable/InRelease"))
			h.write("etc/apt/sources.list.d/test.list", "deb [trusted=yes] "+r.server.URL+" stable main\n")
		}, "", ""},
		{"no release file", func(t *testing.T, r *repo, h *host) { _ = os.Remove(filepath.Join(r.dir, "dists/stable/InRelease")) },
			volvox.MirrorUnavailable, "it has no release file"},
		{"inline key", func(t *testing.T, r *repo, h *host) {
			_ = os.Remove(filepath.Join(h.root, "etc/apt/sources.list.d/test.list"))
			h.write("etc/apt/sources.list.d/test.sources", inlineSource(t, r))
		}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := simple(t)
			h := newHost(t).trusting("test", r)
			c.setup(t, r, h)
			s := h.store("")
			if c.code == "" {
				must(t, s, "deb:engine")
				return
			}
			refused(t, s, "deb:engine", c.code, c.words, r.server.URL)
		})
	}
}

func inlineSource(t *testing.T, r *repo) string {
	text := "Types: deb\nURIs: " + r.server.URL + "\nSuites: stable\nComponents: main\nSigned-By:\n"
	for line := range strings.Lines(armored(t, r.key)) {
		if line == "\n" {
			line = ".\n"
		}
		text += " " + line
	}
	return text
}

// change replaces words in a file that the repository serves.
func (r *repo) change(name, old, words string) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil || !strings.Contains(string(b), old) {
		r.t.Fatalf("%s: %v", name, err)
	}
	r.write(name, []byte(strings.Replace(string(b), old, words, 1)))
}

// replaceInRelease takes the signature away: its text becomes Release.
func (r *repo) replaceInRelease(extra string) {
	b, err := os.ReadFile(filepath.Join(r.dir, "dists/stable/InRelease"))
	if err != nil {
		r.t.Fatal(err)
	}
	block, _ := clearsign.Decode(b)
	r.write("dists/stable/Release", append(block.Plaintext, extra...))
	_ = os.Remove(filepath.Join(r.dir, "dists/stable/InRelease"))
}

func TestChecksums(t *testing.T) {
	t.Run("package", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		r.write("pool/engine_2.0.deb", append(debOf(t, file{name: "./x"}), 0))
		refused(t, newHost(t).trusting("test", r).store(""), "deb:engine", volvox.Checksum, "package engine 2.0 from "+r.server.URL)
	})
	t.Run("package cut off, then whole", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		first := true
		r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, "engine") || !first {
				return false
			}
			first = false
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte("!<arch>\n"))
			return true // the server ends the connection
		})
		must(t, newHost(t).trusting("test", r).store(""), "deb:engine")
	})
	t.Run("index", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		r.write("dists/stable/main/binary-amd64/Packages.gz", gz(t, []byte("Package: evil\n")))
		refused(t, newHost(t).trusting("test", r).store(""), "deb:engine", volvox.Checksum, r.server.URL)
	})
	t.Run("index kept, then damaged on disk", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		s := newHost(t).trusting("test", r).store("")
		must(t, s, "deb:engine")
		found, _ := filepath.Glob(filepath.Join(s.dir, "lists/*.packages"))
		if len(found) != 1 {
			t.Fatalf("indexes kept: %v", found)
		}
		if err := os.WriteFile(found[0], []byte("Package: evil\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		must(t, s, "deb:engine,sed")
		if n := r.asked("Packages"); n != 2 {
			t.Errorf("the index was asked for %d times", n)
		}
	})
	t.Run("blob damaged on disk", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		s := newHost(t).trusting("test", r).store("")
		must(t, s, "deb:engine")
		blobs, _ := filepath.Glob(filepath.Join(s.dir, "blobs/*"))
		for _, b := range blobs {
			if err := os.WriteFile(b, []byte("!<arch>\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		must(t, s, "deb:sed")
		if n := r.asked("pool/sed"); n != 2 {
			t.Errorf("the package was asked for %d times", n)
		}
	})
}

func TestByHashAndFlat(t *testing.T) {
	for _, c := range []struct {
		name         string
		flat, byHash bool
		line         string
	}{
		{"by hash", false, true, "deb [signed-by=/key.asc] %s stable main"},
		{"flat", true, false, "deb [signed-by=/key.asc] %s ./"},
		{"flat by hash", true, true, "deb [signed-by=/key.asc] %s/ /"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			r.flat, r.byHash = c.flat, c.byHash
			r.publish()
			h := newHost(t).write("key.asc", armored(t, r.key)).write("etc/apt/sources.list", fmt.Sprintf(c.line, r.server.URL)+"\n")
			must(t, h.store(""), "deb:sed")
		})
	}
	t.Run("promised by hash, but only by name", func(t *testing.T) {
		t.Parallel()
		r := newRepo(t)
		r.release = "Acquire-By-Hash: yes\n"
		r.publish()
		must(t, newHost(t).trusting("test", r).store(""), "deb:sed")
	})
	t.Run("file address", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		h := newHost(t).trusting("test", r)
		h.write("etc/apt/sources.list.d/test.list", "deb [signed-by=/usr/share/keyrings/test.asc] file:"+r.dir+" stable main\n")
		must(t, h.store(""), "deb:engine")
		if n := r.asked(""); n != 0 {
			t.Errorf("%d requests were made", n)
		}
	})
	t.Run("proxy", func(t *testing.T) {
		t.Parallel()
		r := simple(t)
		target, err := url.Parse(r.server.URL)
		if err != nil {
			t.Fatal(err)
		}
		var proxied atomic.Int64
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			proxied.Add(1)
			if req.URL.Host != "mirror.invalid" {
				t.Errorf("the proxy was asked for %s", req.URL)
			}
			req.URL.Host = target.Host
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			_, _ = fmt.Fprint(w, readAll(t, resp))
		}))
		defer proxy.Close()
		h := newHost(t).trusting("test", r)
		h.write("etc/apt/apt.conf.d/proxy", `Acquire::http::Proxy "`+proxy.URL+`";`)
		h.write("etc/apt/sources.list.d/test.list", "deb [signed-by=/usr/share/keyrings/test.asc] http://mirror.invalid stable main\n")
		s := h.store("")
		img, err := s.Ensure(t.Context(), "deb:engine", nil)
		if err != nil || len(img.Packages) == 0 || proxied.Load() == 0 {
			t.Errorf("%v, %v, %d requests by proxy", img, err, proxied.Load())
		}
	})
}

func readAll(t *testing.T, resp *http.Response) string {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestMirrorAway(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("test", r)
	away := refusing(t)
	h.write("etc/apt/sources.list.d/away.list", "deb "+away+" stable main\ndeb cdrom:[x]/ stable main\n")
	s := h.store("")
	must(t, s, "deb:engine") // found elsewhere
	refused(t, s, "deb:engine-9", volvox.MirrorUnavailable, "engine-9 is in none", away, "connection refused")

	h.write("etc/apt/sources.list.d/test.list", "")
	refused(t, s, "deb:grep", volvox.MirrorUnavailable, away)
	h.write("etc/apt/sources.list.d/away.list", "")
	refused(t, s, "deb:grep", volvox.NoPackage, "no sources were found")
}

func TestMirrorHangs(t *testing.T) {
	t.Parallel()
	r := simple(t)
	silent := simple(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	silent.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		select {
		case <-release:
		case <-req.Context().Done():
		}
		return true
	})
	h := newHost(t).trusting("silent", silent).trusting("test", r)
	s := h.storeWith(Options{Sources: apt.Options{StallTimeout: 1500 * time.Millisecond}})
	must(t, s, "deb:engine")
	must(t, s, "deb:engine,sed")
	if n := silent.asked(""); n != 1 {
		t.Errorf("the silent mirror was asked %d times", n)
	}
	// it hangs in the middle of a package
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "late") {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("!<arch>\n"))
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		return true
	})
	r.add("late", "1", "")
	r.publish()
	refused(t, s, "deb:late", volvox.MirrorUnavailable, "package late 1", "no more bytes came")
}

// A mirror that went away after its index was kept does not matter when
// another one has the same files.
func TestSecondMirrorHasTheFile(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("a", r)
	second := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	defer second.Close()
	h.write("etc/apt/sources.list.d/b.list", "deb [signed-by=/usr/share/keyrings/a.asc] "+second.URL+" stable main\n")
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "pool/") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	must(t, h.store(""), "deb:engine")
	if r.asked("pool/") == 0 {
		t.Error("the first mirror was not asked")
	}
}

func TestKeptIndexes(t *testing.T) {
	t.Parallel()
	r := simple(t)
	h := newHost(t).trusting("test", r)
	s := h.store("")
	must(t, s, "deb:engine")
	before := r.asked("")
	must(t, s, "deb:sed")
	if n := r.asked("") - before; n != 0 {
		t.Errorf("%d requests for an image whose packages and indexes are there", n)
	}
	// a package that came later is found although the index is young
	r.add("newer", "1", "")
	r.publish()
	must(t, s, "deb:newer")
	// a mirror that has moved on: the file that the kept index lists is gone
	_ = os.Remove(filepath.Join(r.dir, "pool/engine_2.0.deb"))
	blobs, _ := filepath.Glob(filepath.Join(s.dir, "blobs/*"))
	for _, b := range blobs {
		_ = os.Remove(b)
	}
	r.add("engine", "3.0", "")
	r.publish()
	img := must(t, s, "deb:engine,newer")
	if got := img.Packages[3]; got.Name != "engine" || got.Version != "3.0" {
		t.Errorf("got %v", got)
	}
}

func TestOldIndexIsRevalidated(t *testing.T) {
	t.Parallel()
	r := simple(t)
	s := newHost(t).trusting("test", r).storeWith(Options{Sources: apt.Options{IndexAge: time.Nanosecond}})
	must(t, s, "deb:engine")
	var revalidated atomic.Int64
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("If-Modified-Since") != "" {
			revalidated.Add(1)
		}
		return false
	})
	must(t, s, "deb:sed")
	if n := revalidated.Load(); n != 1 || r.asked("Packages") != 1 {
		t.Errorf("%d conditional requests, the index asked for %d times", n, r.asked("Packages"))
	}
}

// Offline: apt's own lists and archives are enough.
func TestAptsOwnFiles(t *testing.T) {
	t.Parallel()
	r := simple(t)
	away := refusing(t)
	h := newHost(t).trusting("test", r)
	h.write("etc/apt/sources.list.d/test.list", "deb [signed-by=/usr/share/keyrings/test.asc] "+away+"/debian stable main\n")
	prefix := "var/lib/apt/lists/" + strings.TrimPrefix(away, "http://") + "_debian_dists_stable_"
	h.write(prefix+"InRelease", readFile(t, filepath.Join(r.dir, "dists/stable/InRelease")))
	h.write(prefix+"main_binary-amd64_Packages", r.index.String())
	pool, _ := filepath.Glob(filepath.Join(r.dir, "pool/*.deb"))
	for _, p := range pool {
		h.write("var/cache/apt/archives/"+strings.TrimSuffix(filepath.Base(p), ".deb")+"_amd64.deb", readFile(t, p))
	}
	must(t, h.store(""), "deb:engine")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	r := simple(t)
	started := make(chan struct{}, 100)
	r.setHook(func(w http.ResponseWriter, req *http.Request) bool {
		started <- struct{}{}
		<-req.Context().Done()
		return true
	})
	s := newHost(t).trusting("test", r).store("")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := s.Ensure(ctx, "deb:engine", nil); volvox.CodeOf(err) != volvox.Cancelled {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := leftovers(s); len(left) > 0 {
		t.Errorf("after Close there is %v", left)
	}
}
