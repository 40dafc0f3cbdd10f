package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// file is an entry of an archive made in a test.
type file struct {
	name, text, link string
	kind             byte // default tar.TypeReg, or TypeSymlink where link is set
	mode             int64
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Linkname: f.link, Mode: f.mode, Size: int64(len(f.text))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if f.link != "" {
				h.Typeflag = tar.TypeSymlink
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// debOf makes a Debian package of the files.
func debOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member := func(name string, data []byte) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(data))
		b.Write(data)
		if len(data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", gz(t, tarOf(t)))
	member("data.tar.gz", gz(t, tarOf(t, files...)))
	return b.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// newKey makes a signing key.
func newKey(t testing.TB) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Test", "", "test@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func armored(t testing.TB, e *openpgp.Entity) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// repo is a signed repository of packages, served on loopback.
type repo struct {
	t       testing.TB
	key     *openpgp.Entity
	dir     string
	index   bytes.Buffer
	release string        // further fields of the release file
	valid   time.Duration // of the release file, default a day
	age     time.Duration // more of it than two days
	flat    bool
	byHash  bool // only by-hash files are there
	detach  bool // Release and Release.gpg in place of InRelease
	server  *httptest.Server

	published int

	mu       sync.Mutex
	requests []string
	hook     func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

// newRepo starts a repository that has the base packages.
func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, key: newKey(t), dir: t.TempDir(), valid: 24 * time.Hour}
	files := http.FileServer(http.Dir(r.dir))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.URL.Path)
		hook := r.hook
		r.mu.Unlock()
		if hook == nil || !hook(w, req) {
			files.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(r.server.Close)
	for _, name := range basePackages {
		r.add(name, "1.0", "", file{name: "./usr/bin/" + name, text: "#!", mode: 0o755})
	}
	return r
}

func (r *repo) setHook(h func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = h
}

// asked counts the requests whose path contains the word.
func (r *repo) asked(word string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.requests {
		if strings.Contains(p, word) {
			n++
		}
	}
	return n
}

func (r *repo) write(name string, b []byte) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// add puts a package into the pool and the index; fields are further lines of
// its stanza.
func (r *repo) add(name, version, fields string, files ...file) {
	r.t.Helper()
	deb := debOf(r.t, files...)
	path := "pool/" + name + "_" + version + ".deb"
	r.write(path, deb)
	fmt.Fprintf(&r.index, "Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: %s\nSize: %d\nSHA256: %s\n", name, version, path, len(deb), sum(deb))
	if fields != "" {
		r.index.WriteString(strings.TrimSpace(fields) + "\n")
	}
	r.index.WriteString("\n")
}

// publish writes the index and signs the release file.
func (r *repo) publish() {
	r.t.Helper()
	base, dir := "dists/stable/", "main/binary-amd64/"
	if r.flat {
		base, dir = "", ""
	}
	plain := r.index.Bytes()
	packed := gz(r.t, plain)
	if r.byHash {
		r.write(base+dir+"by-hash/SHA256/"+sum(packed), packed)
	} else {
		r.write(base+dir+"Packages.gz", packed)
	}
	now := time.Now().UTC()
	text := fmt.Sprintf("Origin: Test\nSuite: stable\nDate: %s\nValid-Until: %s\nArchitectures: amd64\nComponents: main\n",
		now.Add(-min(0, r.valid)-48*time.Hour-r.age).Format(time.RFC1123), now.Add(r.valid).Format(time.RFC1123))
	if r.byHash {
		text += "Acquire-By-Hash: yes\n"
	}
	text += r.release + "SHA256:\n"
	text += fmt.Sprintf(" %s %d %sPackages\n %s %d %sPackages.gz\n", sum(plain), len(plain), dir, sum(packed), len(packed), dir)
	if r.detach {
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, r.key, strings.NewReader(text), nil); err != nil {
			r.t.Fatal(err)
		}
		r.write(base+"Release", []byte(text))
		r.write(base+"Release.gpg", sig.Bytes())
		return
	}
	r.write(base+"InRelease", r.clearSigned(text))
	// HTTP's dates count seconds: each release is later than the one before
	r.published++
	later := now.Add(time.Duration(r.published) * time.Second)
	if err := os.Chtimes(filepath.Join(r.dir, base, "InRelease"), later, later); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) clearSigned(text string) []byte {
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, r.key.PrivateKey, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		r.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	return out.Bytes()
}

// host is a root directory with apt's configuration.
type host struct {
	t    testing.TB
	root string
}

func newHost(t testing.TB) *host { return &host{t, t.TempDir()} }

func (h *host) write(name, text string) *host {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return h
}

// trusting adds the repository as a one-line source, with its key.
func (h *host) trusting(name string, r *repo) *host {
	h.write("usr/share/keyrings/"+name+".asc", armored(h.t, r.key))
	return h.write("etc/apt/sources.list.d/"+name+".list",
		fmt.Sprintf("deb [signed-by=/usr/share/keyrings/%s.asc] %s stable main\n", name, r.server.URL))
}

func (h *host) store(dir string) *Store {
	h.t.Helper()
	return h.storeWith(Options{Dir: dir})
}

func (h *host) storeWith(o Options) *Store {
	h.t.Helper()
	if o.Dir == "" {
		o.Dir = h.t.TempDir()
	}
	o.Sources.Root, o.Sources.Arch = h.root, "amd64"
	s, err := Open(h.t.Context(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}

// simple is a published repository with one package beside the base.
func simple(t testing.TB) *repo {
	r := newRepo(t)
	r.add("engine", "2.0", "Depends: libc6", file{name: "./usr/bin/engine", text: "run", mode: 0o4755})
	r.publish()
	return r
}
