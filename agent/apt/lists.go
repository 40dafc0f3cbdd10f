package apt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/volvox-os/volvox"
)

// outage remembers that a mirror did not answer, so that the next image does
// not wait for it again.
type outage struct {
	until time.Time
	err   error
}

// outageFor is how long a mirror that did not answer is left alone, unless
// something is missing without it.
const outageFor = 5 * time.Minute

// fault is why a source could not be used.
type fault struct {
	source source
	code   volvox.Code
	err    error
}

func (f fault) String() string { return fmt.Sprintf("%s: %v", f.source, f.err) }

// catalog is all packages of the machine's sources.
type catalog struct {
	arch     string
	indexes  []*index
	faults   []fault
	problems []error // of the files that name the sources
	get      *getter
	fresh    bool // every mirror was asked for this catalog
}

func (c *catalog) close() {
	for _, ix := range c.indexes {
		ix.close()
	}
	c.get.client.CloseIdleConnections()
}

// load reads the indexes of all sources, in parallel. A source that fails is
// left out and noted.
func (l *Sources) load(ctx context.Context, newest bool) (*catalog, error) {
	conf := readAptConf(l.root)
	arch := l.arch
	if arch == "" {
		arch = conf["apt::architecture"]
	}
	if arch == "" {
		arch = machineArch()
	}
	sources, problems := readSources(l.root, arch)
	c := &catalog{arch: arch, problems: problems, get: l.client(conf), fresh: true}
	for _, p := range problems {
		l.log.Warn("an apt source is left out", "error", p)
	}
	results := make([]loaded, len(sources))
	var all errgroup.Group
	for i, s := range sources {
		all.Go(func() error {
			one := sourceLoad{Sources: l, get: c.get, conf: conf, source: s, arch: arch, order: i, newest: newest}
			results[i] = one.run(ctx)
			return nil
		})
	}
	_ = all.Wait()
	for i, r := range results {
		c.indexes = append(c.indexes, r.indexes...)
		c.fresh = c.fresh && !r.reused
		for _, err := range r.errs {
			c.faults = append(c.faults, fault{sources[i], codeOf(err), err})
			l.log.Warn("an apt source is left out", "source", sources[i].String(), "error", err)
		}
	}
	if err := ctx.Err(); err != nil {
		c.close()
		return nil, err
	}
	for _, r := range results {
		for _, err := range r.errs {
			if diskFull(err) {
				c.close()
				return nil, err
			}
		}
	}
	return c, nil
}

// loaded is what one source gave.
type loaded struct {
	indexes []*index
	errs    []error
	reused  bool // the mirror was not asked
}

// sourceLoad reads one source.
type sourceLoad struct {
	*Sources
	get    *getter
	conf   aptConf
	source source
	arch   string
	order  int
	newest bool
	reused bool
}

func (l *sourceLoad) run(ctx context.Context) (out loaded) {
	rel, warning, err := l.release(ctx)
	if err == nil {
		out, err = l.packages(ctx, rel)
	}
	if codeOf(err) == volvox.Checksum && !l.newest {
		// the mirror has moved on since the release file was kept
		l.newest, l.reused = true, false
		if rel, warning, err = l.release(ctx); err == nil {
			out, err = l.packages(ctx, rel)
		}
	}
	out.reused = l.reused
	if err != nil {
		out.errs = append(out.errs, err)
	} else if warning != nil {
		out.errs = append(out.errs, warning)
	}
	return out
}

// release returns the checked release file: the copy when it is young, else
// the mirror's, else, with a warning, an old copy or apt's own.
func (l *sourceLoad) release(ctx context.Context) (rel *release, warning, err error) {
	name := filepath.Join(l.lists, hashOf(l.source.uri+" "+l.source.base())+".json")
	kept := readKept(name)
	age := time.Since(kept.FetchedAt)
	if !l.newest && kept.has() && age >= 0 && age < l.age {
		if rel, err := l.check(kept); err == nil {
			l.reused = true
			return rel, nil, nil
		}
	}
	err = l.knownOutage()
	var now keptRelease
	if err == nil {
		now, err = l.fetchRelease(ctx, kept)
	}
	if err == nil {
		if rel, err = l.check(now); err != nil {
			return nil, nil, err
		}
		if now.Unsigned {
			return rel, nil, nil
		}
		if had := l.had(kept); had != nil && had.date.After(rel.date) {
			return had, coded(volvox.MirrorUnavailable, fmt.Errorf("its index of %s is older than the one it had before, of %s, which is used",
				rel.date.Format(time.RFC3339), had.date.Format(time.RFC3339))), nil
		}
		_ = now.write(name)
		return rel, nil, nil
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	l.noteOutage(err)
	warning = coded(volvox.MirrorUnavailable, err)
	for _, old := range []keptRelease{kept, l.aptsRelease()} {
		if old.has() {
			if rel, err := l.check(old); err == nil {
				return rel, warning, nil
			}
		}
	}
	return nil, nil, warning
}

// had returns the newest of the release files that this machine has seen of
// the source, nil for none. Who answers for a mirror must not lead back to
// packages whose faults are known: an old signature is as good as a new one.
func (l *sourceLoad) had(kept keptRelease) (newest *release) {
	for _, old := range []keptRelease{kept, l.aptsRelease()} {
		if !old.has() {
			continue
		}
		if rel, err := l.check(old); err == nil && (newest == nil || rel.date.After(newest.date)) {
			newest = rel
		}
	}
	return newest
}

// fetchRelease asks the mirror for InRelease, or Release with Release.gpg.
func (l *sourceLoad) fetchRelease(ctx context.Context, kept keptRelease) (keptRelease, error) {
	base := l.source.uri + l.source.base()
	now := keptRelease{FetchedAt: time.Now()}
	if kept.Signature != "" {
		kept = keptRelease{}
	}
	err := l.fetchText(ctx, base+"InRelease", kept, &now)
	if !errors.Is(err, errNotThere) {
		return now, err
	}
	err = l.fetchText(ctx, base+"Release", keptRelease{}, &now)
	switch {
	case errors.Is(err, errNotThere) && l.source.trusted:
		now.Unsigned = true
		return now, nil
	case errors.Is(err, errNotThere):
		return now, fmt.Errorf("it has no release file %sInRelease", redact(base))
	case err != nil || l.source.trusted:
		return now, err
	}
	var signature keptRelease
	err = l.fetchText(ctx, base+"Release.gpg", keptRelease{}, &signature)
	now.Signature = signature.Text
	if errors.Is(err, errNotThere) {
		return now, nil // check will say that it is not signed
	}
	return now, err
}

// releaseLimit bounds release files; Debian's have 150 kB.
const releaseLimit = 16 << 20

func (l *sourceLoad) fetchText(ctx context.Context, address string, kept keptRelease, now *keptRelease) error {
	return retry(ctx, func() error {
		a, err := l.get.open(ctx, address, kept.ETag, kept.Date)
		if err != nil {
			return err
		}
		defer a.Close()
		now.ETag, now.Date = a.etag, a.date
		if a.same {
			now.Text, now.ETag, now.Date = kept.Text, kept.ETag, kept.Date
			return nil
		}
		text, err := readLimited(a, releaseLimit)
		now.Text = string(text)
		return err
	})
}

// check verifies the signature and the dates and parses.
func (l *sourceLoad) check(k keptRelease) (*release, error) {
	if k.Unsigned {
		return &release{}, nil
	}
	text, err := l.verified(k)
	if err != nil {
		return nil, coded(volvox.Signature, err)
	}
	rel, err := parseRelease(string(text))
	if err != nil {
		return nil, coded(volvox.MirrorUnavailable, fmt.Errorf("its release file cannot be read: %w", err))
	}
	if why := rel.outdated(time.Now(), l.conf, l.source); why != "" {
		return nil, coded(volvox.Signature, errors.New(why))
	}
	return rel, nil
}

func (l *sourceLoad) verified(k keptRelease) ([]byte, error) {
	if l.source.trusted {
		return stripSignature([]byte(k.Text)), nil
	}
	keys, err := keysOf(l.root, l.source)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("this machine has no key for it")
	}
	if strings.Contains(k.Text, "-----BEGIN PGP SIGNED MESSAGE-----") {
		return openInRelease([]byte(k.Text), keys)
	}
	if k.Signature == "" {
		return nil, errors.New("it is not signed")
	}
	return []byte(k.Text), checkDetached([]byte(k.Text), []byte(k.Signature), keys)
}

// mirror is the part of the address that an outage concerns.
func (l *sourceLoad) mirror() string {
	u, err := url.Parse(l.source.uri)
	if err != nil {
		return l.source.uri
	}
	return u.Scheme + "://" + u.Host
}

func (l *sourceLoad) knownOutage() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o, ok := l.down[l.mirror()]; ok && !l.newest && time.Now().Before(o.until) {
		l.reused = true
		return o.err
	}
	return nil
}

func (l *sourceLoad) noteOutage(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down[l.mirror()] = outage{until: time.Now().Add(outageFor), err: err}
}

// aptsRelease is the release file that apt itself has, if it has one.
func (l *sourceLoad) aptsRelease() keptRelease {
	path := l.aptsFile(l.source.base())
	if b, err := os.ReadFile(path + "InRelease"); err == nil {
		return keptRelease{Text: string(b)}
	}
	b, err := os.ReadFile(path + "Release")
	if err != nil {
		return keptRelease{}
	}
	sig, _ := os.ReadFile(path + "Release.gpg")
	return keptRelease{Text: string(b), Signature: string(sig)}
}

// aptsFile is where apt keeps a file of the source.
func (l *sourceLoad) aptsFile(path string) string {
	address := l.source.uri + path
	if u, err := url.Parse(address); err == nil {
		address = u.Host + u.Path
	}
	var b strings.Builder
	for i := range len(address) {
		switch c := address[i]; {
		case c == '/':
			b.WriteByte('_')
		case strings.IndexByte(`\|{}[]<>"^~_=!@#$%&*`, c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return filepath.Join(l.root, "var/lib/apt/lists", b.String())
}
