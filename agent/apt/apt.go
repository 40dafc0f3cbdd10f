// Package apt finds and fetches Debian packages from the apt sources of this
// machine, without apt: it reads the same files, trusts the same keys, and
// resolves what packages depend on.
//
// It owns two directories, of package indexes and of packages. What lies there
// is kept to be quick and is checked again whenever it is used, so it is
// never trusted and may be removed at any time.
//
// An index counts only with a signature that apt would accept, a package only
// with the checksum that an index promises. A source that does not answer or
// is not signed rightly is left out; it is an error only when something is
// missing without it, and the error then names it.
//
// Of apt's configuration it reads the sources, the keyrings, the proxies and
// the switches of the checks. It does not read pins (preferences) and
// passwords (auth.conf), nor addresses of mirror lists.
package apt

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/volvox-os/volvox"
)

// Options are how sources are read. Only Lists and Blobs are needed.
type Options struct {
	Lists string // directory for package indexes, made if it is not there
	Blobs string // directory for packages, made if it is not there
	Root  string // where etc/apt, usr/share/keyrings and var/lib/apt are read; default "/"
	Arch  string // Debian's name of the architecture; default the machine's

	// Client fetches; default: one that goes through apt's proxies.
	Client *http.Client
	// ConnectTimeout bounds reaching a mirror, default 4 s.
	ConnectTimeout time.Duration
	// StallTimeout ends a transfer that brings nothing, default 15 s.
	StallTimeout time.Duration
	// IndexAge is how old a package index may be before its mirror is asked
	// again, default 1 h.
	IndexAge time.Duration

	Log *slog.Logger // default: none
}

// Sources are the apt sources of this machine. Their files are read anew for
// each Resolve.
type Sources struct {
	root, arch   string
	lists, blobs string
	age          time.Duration
	log          *slog.Logger
	client       func(aptConf) *getter

	mu   sync.Mutex
	down map[string]outage // by scheme and host
}

// TempPrefix begins the names of files being written in the directories of
// indexes and packages.
const TempPrefix = ".new-"

// Open makes the directories. No mirror is asked yet.
func Open(o Options) (*Sources, error) {
	for _, dir := range []string{o.Lists, o.Blobs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	connect, stall := o.ConnectTimeout, o.StallTimeout
	if connect == 0 {
		connect = 4 * time.Second
	}
	if stall == 0 {
		stall = 15 * time.Second
	}
	if o.IndexAge == 0 {
		o.IndexAge = time.Hour
	}
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sources{
		root: o.Root, arch: o.Arch, lists: o.Lists, blobs: o.Blobs, age: o.IndexAge, log: o.Log, down: map[string]outage{},
		client: func(conf aptConf) *getter {
			if o.Client != nil {
				return &getter{o.Client, stall}
			}
			return &getter{newClient(conf, connect, stall), stall}
		},
	}, nil
}

// Package is one package of a closure.
type Package struct {
	Name, Version string
	SHA256        string // of its file
	Size          int64  // of its file
	Installed     int64  // bytes unpacked, as its maintainer says
}

// Closure is a set of packages that need no others.
type Closure struct {
	Packages []Package // in order of names

	sources *Sources
	catalog *catalog
	items   []item
}

// Resolve finds the packages of a wish and all that they depend on. With
// newest every mirror is asked; else indexes younger than IndexAge are used
// as they are, and mirrors that did not answer lately are left out.
//
// Errors are E_NO_PACKAGE, E_MIRROR_UNAVAILABLE, E_SIGNATURE, E_CHECKSUM,
// errors of this machine's disk, or ctx's. When [Stale] holds for an error, it
// is worth trying again with newest.
func (s *Sources) Resolve(ctx context.Context, w Wish, newest bool) (*Closure, error) {
	c, err := s.load(ctx, newest)
	if err != nil {
		return nil, err
	}
	items, err := resolve(c, w)
	if err != nil {
		c.close()
		return nil, c.stale(err)
	}
	out := &Closure{sources: s, catalog: c, items: items}
	for _, it := range items {
		out.Packages = append(out.Packages, Package{
			Name: it.name, Version: it.version, SHA256: it.promise.sha256, Size: it.promise.size, Installed: it.installed,
		})
	}
	return out, nil
}

// Close frees the indexes.
func (c *Closure) Close() { c.catalog.close() }

// Have says whether the i-th package lies on this machine already, unchecked.
func (c *Closure) Have(i int) bool {
	_, err := os.Stat(c.sources.blobFile(c.items[i].promise))
	return err == nil
}

// Fetch brings the i-th package to this machine, if it is not there, checks
// it and returns its file. Several may be fetched at once. Errors are as
// those of Resolve.
func (c *Closure) Fetch(ctx context.Context, i int) (string, error) {
	if err := c.sources.fetch(ctx, c.catalog, c.items[i]); err != nil {
		return "", c.catalog.stale(err)
	}
	return c.sources.blobFile(c.items[i].promise), nil
}

// staleError is a failure that may be due to copies that are too old.
type staleError struct{ error }

func (e *staleError) Unwrap() error { return e.error }

// Stale says whether an error may be due to indexes that were not asked for
// anew.
func Stale(err error) bool {
	var s *staleError
	return errors.As(err, &s)
}

func (c *catalog) stale(err error) error {
	switch codeOf(err) {
	case volvox.NoPackage, volvox.MirrorUnavailable, volvox.Signature, volvox.Checksum:
		if !c.fresh {
			return &staleError{err}
		}
	}
	return err
}

// Collect removes indexes and packages that were not used for so long, and
// files that were being written when their process ended.
func (s *Sources) Collect(unused time.Duration) {
	for _, dir := range []string{s.lists, s.blobs} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			limit := unused
			if strings.HasPrefix(e.Name(), TempPrefix) {
				limit = time.Hour
			}
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > limit {
				_ = os.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
}

// machineArch is Debian's name of this machine's architecture.
func machineArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mipsle":
		return "mipsel"
	case "mips64le":
		return "mips64el"
	}
	return runtime.GOARCH
}
