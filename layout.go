package volvox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultData is the data directory when nobody names one.
const DefaultData = "/var/lib/volvox"

// Layout says where the parts of one computer are on a machine. Everything
// derives from the data directory, so that computers with different ones
// live side by side.
type Layout struct {
	Data string // what stays: an absolute path without symbolic links
	Run  string // what a reboot may forget, on tmpfs: /run/volvox/ID
	ID   string // six hex digits, part of the names of interfaces, control groups and the like
}

// LayoutOf returns the layout for a data directory, which need not exist yet.
// Empty means [DefaultData].
func LayoutOf(data string) (Layout, error) {
	if data == "" {
		data = DefaultData
	}
	abs, err := filepath.Abs(data)
	if err != nil {
		return Layout{}, fmt.Errorf("find the data directory: %w", err)
	}
	abs = realPath(abs)
	sum := sha256.Sum256([]byte(abs))
	id := hex.EncodeToString(sum[:3])
	return Layout{Data: abs, Run: filepath.Join("/run/volvox", id), ID: id}, nil
}

// realPath resolves the symbolic links of the part of the path that exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(realPath(parent), filepath.Base(path))
}

// Kernel is the file of the embedded kernel.
func (l Layout) Kernel() string { return filepath.Join(l.Data, "kernel.db") }

// SecretKey is the key of the secrets.
func (l Layout) SecretKey() string { return filepath.Join(l.Data, "secret.key") }

// Lock is the file that `volvox up` holds locked while it runs.
func (l Layout) Lock() string { return filepath.Join(l.Data, "lock") }

// APISocket is the Unix socket of the API.
func (l Layout) APISocket() string { return filepath.Join(l.Run, "api.sock") }

// Images is where root file systems are kept.
func (l Layout) Images() string { return filepath.Join(l.Data, "images") }

// Containerd is the state of our containerd.
func (l Layout) Containerd() string { return filepath.Join(l.Data, "containerd") }

// Volumes is where the data of instances is kept, a directory for each.
func (l Layout) Volumes() string { return filepath.Join(l.Data, "volumes") }

// Made says whether the data directory is a computer's: whether one was ever
// started on it, and was not removed since.
func (l Layout) Made() bool {
	for _, mark := range []string{l.Kernel(), l.SecretKey(), l.Home()} {
		if _, err := os.Lstat(mark); err == nil {
			return true
		}
	}
	// All that is left of a start that failed early, after a reboot: a lock
	// with the number of a process, which no other program's lock needs to be.
	pid, err := os.ReadFile(l.Lock())
	_, wrong := strconv.Atoi(strings.TrimSpace(string(pid)))
	return err == nil && wrong == nil
}

// Home is the file in Run that names Data.
func (l Layout) Home() string { return filepath.Join(l.Run, "data") }
