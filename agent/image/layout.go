package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The one user of every image.
const (
	userName = "volvox"
	userID   = 5001
)

// standardDirs exist in every image, empty, for the runtime to bind to.
var standardDirs = []struct {
	name string
	mode fs.FileMode
}{
	{"config", 0o755}, {"data", 0o755}, {"dev", 0o755}, {"etc", 0o755},
	{"proc", 0o555}, {"root", 0o700}, {"run", 0o755}, {"scripts", 0o755},
	{"secrets", 0o755}, {"sys", 0o555}, {"tmp", 0o777 | fs.ModeSticky},
	{"usr", 0o755}, {"usr/bin", 0o755}, {"usr/lib", 0o755}, {"usr/sbin", 0o755},
	{"var", 0o755}, {"var/lib", 0o755}, {"var/log", 0o755}, {"var/cache", 0o755},
	{"var/tmp", 0o777 | fs.ModeSticky},
}

// standardFiles are written where the image has none.
var standardFiles = []struct{ name, text string }{
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"},
	{"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
	{"etc/resolv.conf", ""},
	{"etc/hostname", ""},
}

// users are the lines that etc/passwd and etc/group have at least.
var users = []struct{ file, line string }{
	{"etc/passwd", "root:x:0:0:root:/root:/bin/sh"},
	{"etc/passwd", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"},
	{"etc/passwd", fmt.Sprintf("%s:x:%d:%d:Volvox:/tmp:/bin/sh", userName, userID, userID)},
	{"etc/group", "root:x:0:"},
	{"etc/group", "nogroup:x:65534:"},
	{"etc/group", fmt.Sprintf("%s:x:%d:", userName, userID)},
}

// standardLinks are made in images of packages where the target is there and
// the link is not: what maintainer scripts would have made.
var standardLinks = []struct{ name, to, needs string }{
	{"usr/bin/sh", "dash", "usr/bin/dash"},
	{"usr/bin/awk", "mawk", "usr/bin/mawk"},
	{"etc/localtime", "/usr/share/zoneinfo/Etc/UTC", "usr/share/zoneinfo/Etc/UTC"},
	{"var/run", "/run", "run"},
}

// mergeUsr makes /bin, /sbin, /lib… links into /usr, before anything else.
func (t *tree) mergeUsr() error {
	t.merge = true
	for _, d := range mergedDirs {
		if _, err := t.follow("usr/"+d, true); err != nil {
			return err
		}
		if err := t.root.Symlink("usr/"+d, d); err != nil {
			return err
		}
	}
	return nil
}

// unmerge removes the merged directories that nothing is in.
func (t *tree) unmerge() {
	for _, d := range []string{"lib32", "lib64", "libx32"} {
		if t.root.Remove("usr/"+d) == nil {
			_ = t.root.Remove(d)
		}
	}
}

// furnish adds what every image has: directories to bind to, users, names.
func (t *tree) furnish(packages bool) error {
	for _, d := range standardDirs {
		if err := t.ensureDir(d.name, d.mode); err != nil {
			return err
		}
	}
	for _, f := range standardFiles {
		if _, err := t.root.Lstat(f.name); errors.Is(err, fs.ErrNotExist) {
			if err := t.write(f.name, f.text); err != nil {
				return err
			}
		}
	}
	for _, u := range users {
		if err := t.ensureLine(u.file, u.line); err != nil {
			return err
		}
	}
	if !packages {
		return nil
	}
	for _, l := range standardLinks {
		if _, err := t.root.Lstat(l.needs); err != nil {
			continue
		}
		if err := t.root.Symlink(l.to, l.name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// ensureDir makes the directory, with this mode, unless it is there.
func (t *tree) ensureDir(name string, mode fs.FileMode) error {
	info, err := t.root.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		// it must lead to a directory of the image
		_, err := t.follow(name, true)
		return err
	}
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%w: /%s is not a directory", errUnsafe, name)
	}
	if err == nil {
		if !strings.Contains(name, "/") && mode&fs.ModeSticky != 0 {
			return t.root.Chmod(name, mode)
		}
		return nil
	}
	if name, err = t.place(name); err != nil {
		return err
	}
	if err := t.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return t.root.Chmod(name, mode)
}

// ensureLine adds a line of users or groups whose name is not there. A file
// that is no plain file is replaced.
func (t *tree) ensureLine(name, line string) error {
	text := ""
	if info, err := t.root.Lstat(name); err == nil {
		if !info.Mode().IsRegular() {
			if err := t.root.RemoveAll(name); err != nil {
				return err
			}
		} else if b, err := t.root.ReadFile(name); err == nil {
			text = string(b)
		}
	}
	user, _, _ := strings.Cut(line, ":")
	for have := range strings.Lines(text) {
		if strings.HasPrefix(have, user+":") {
			if user != userName || strings.TrimSpace(have) == line {
				return nil
			}
			text = strings.Replace(text, have, "", 1)
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return t.write(name, text+line+"\n")
}

func (t *tree) write(name, text string) error {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}
