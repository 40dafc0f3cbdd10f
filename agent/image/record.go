package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/apt"
	"github.com/volvox-os/volvox/machine"
)

// record is what image.json beside a root file system says.
type record struct {
	Digest   string            `json:"digest"`
	Rules    string            `json:"rules"` // the rulesID it was made by
	Bytes    int64             `json:"bytes"`
	Files    int64             `json:"files"`
	Archive  string            `json:"archive,omitempty"` // sha256 of the file: archive
	Packages []machine.Package `json:"packages,omitempty"`
	BuiltAt  time.Time         `json:"built_at"`
}

// refRecord says which image a reference led to.
type refRecord struct {
	Ref     string        `json:"ref"`
	Digest  string        `json:"digest"`
	Rules   string        `json:"rules"` // the rulesID that led there
	Archive *archiveState `json:"archive,omitempty"`
}

// archiveState tells whether an archive is still the file it was.
type archiveState struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time"`
}

func stateOf(info fs.FileInfo) archiveState {
	return archiveState{Size: info.Size(), ModTime: info.ModTime().UTC()}
}

// digestPackages is the digest of an image of packages: a hash over one line
// per package, in order of names, under a line for the rules.
func digestPackages(rules string, packages []machine.Package) string {
	var b strings.Builder
	fmt.Fprintf(&b, "volvox image, rules %s\n", rules)
	for _, p := range packages {
		fmt.Fprintf(&b, "deb %s %s %s\n", p.Name, p.Version, p.SHA256)
	}
	return digestOf(b.String())
}

// digestArchive is the digest of an image made of an archive.
func digestArchive(rules, sum string) string {
	return digestOf(fmt.Sprintf("volvox image, rules %s\narchive %s\n", rules, sum))
}

func digestOf(listing string) string {
	sum := sha256.Sum256([]byte(listing))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// imageDir is the directory of an image; its rootfs lies in it.
func (s *Store) imageDir(digest string) string {
	return filepath.Join(s.dir, strings.Replace(digest, ":", "-", 1))
}

func (s *Store) refFile(ref string) string {
	return filepath.Join(s.dir, "refs", hashOf(ref)+".json")
}

func readRecord(dir string) (rec record, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "rootfs"))
	}
	return rec, err
}

func readRefRecord(file string) (rr refRecord, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &rr)
	}
	return rr, err
}

// present returns the image of a reference if it is on this machine and, for
// an archive, if that has not changed since. An archive that is gone has not
// changed. The image is current unless it was made by other rules than now.
func (s *Store) present(r reference) (img agent.Image, current, ok bool) {
	rr, err := readRefRecord(s.refFile(r.text))
	if err != nil || rr.Ref != r.text {
		return agent.Image{}, false, false
	}
	if r.path != "" {
		info, err := os.Stat(r.path)
		gone := errors.Is(err, fs.ErrNotExist)
		if !gone && (err != nil || rr.Archive == nil || stateOf(info) != *rr.Archive) {
			return agent.Image{}, false, false
		}
	}
	rec, err := readRecord(s.imageDir(rr.Digest))
	if err != nil || rec.Digest != rr.Digest {
		return agent.Image{}, false, false
	}
	return s.image(r.text, rec), rr.Rules == s.rules, true
}

func (s *Store) image(ref string, rec record) agent.Image {
	return agent.Image{
		Ref: ref, Digest: rec.Digest, Bytes: rec.Bytes, Packages: rec.Packages,
		Rootfs: filepath.Join(s.imageDir(rec.Digest), "rootfs"),
	}
}

// remember records durably that the reference leads to the digest.
func (s *Store) remember(rr refRecord) error {
	b, err := json.Marshal(rr)
	if err != nil {
		return err
	}
	return writeFile(s.refFile(rr.Ref), b)
}

// writeFile replaces a file in one step; it is there after a power cut.
func writeFile(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), apt.TempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
