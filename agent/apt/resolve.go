package apt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
)

// Request is one package asked for, and its version if that matters.
type Request struct{ Name, Version string }

// Wish is what a closure is resolved for.
type Wish struct {
	Packages []Request
	Base     []string // wanted besides
	// Drop says that a package is left out although something depends on it;
	// packages asked for by name are not left out. nil: none is.
	Drop func(name string) bool
}

// item is one package of a plan: copies of the same file, which may lie in
// several repositories, the preferred one first.
type item struct {
	*pkg
	copies []*pkg
}

// resolver finds the packages an image needs. It is deterministic: the same
// catalog and requests give the same plan.
//
// It takes Depends and Pre-Depends, never Recommends. Of alternatives it takes
// one that is chosen already, else the first that is available; of the
// packages that provide a virtual name the most important, then the first by
// name. Conflicts and Breaks are not looked at: without maintainer scripts
// packages only meet as files.
type resolver struct {
	c      *catalog
	wish   Wish
	asked  map[string]bool
	limits map[string][]dependency // relations that a name must satisfy
	chosen map[string]*pkg
	queue  []need
}

// need is a relation that has to be satisfied, and who needs it.
type need struct {
	alts alternatives
	by   *pkg // nil: the image itself
}

// collision is a choice that a later relation does not admit.
type collision struct{ limit dependency }

func (c *collision) Error() string { return "the choice of " + c.limit.name + " must be made again" }

// resolve returns the closure of the wish, in order of names.
func resolve(c *catalog, w Wish) ([]item, error) {
	r := &resolver{c: c, wish: w, asked: map[string]bool{}, limits: map[string][]dependency{}}
	for _, q := range r.wish.Packages {
		r.asked[q.Name] = true
		if q.Version != "" {
			r.limit(dependency{name: q.Name, op: "=", version: q.Version})
		}
	}
	for range 100 {
		err := r.run()
		var again *collision
		switch {
		case err == nil:
			return r.plan()
		case asCollision(err, &again):
			r.limit(again.limit)
		default:
			return nil, err
		}
	}
	return nil, volvox.Errorf(volvox.NoPackage, "no set of versions satisfies all dependencies of %s", Names(w.Packages))
}

func asCollision(err error, target **collision) bool {
	c, ok := err.(*collision)
	*target = c
	return ok
}

func (r *resolver) limit(d dependency) { r.limits[d.name] = append(r.limits[d.name], d) }

func (r *resolver) run() error {
	r.chosen = map[string]*pkg{}
	r.queue = nil
	for _, q := range r.wish.Packages {
		r.queue = append(r.queue, need{alternatives{{name: q.Name}}, nil})
	}
	for _, name := range r.wish.Base {
		r.queue = append(r.queue, need{alternatives{{name: name}}, nil})
	}
	for len(r.queue) > 0 {
		n := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.satisfy(n); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) satisfy(n need) error {
	if slices.ContainsFunc(n.alts, r.satisfied) {
		return nil
	}
	var clash *collision
	for _, d := range n.alts {
		if d.arch != "" && d.arch != "any" && d.arch != "native" && d.arch != r.c.arch {
			continue
		}
		if r.dropped(d.name) {
			return nil
		}
		if old := r.chosen[d.name]; old != nil {
			// chosen, but not a version that will do: is there one that does?
			if r.candidate(d) != nil && clash == nil {
				clash = &collision{d}
			}
			continue
		}
		if p := r.candidate(d); p != nil {
			r.choose(p)
			return nil
		}
		if done := r.provider(d); done {
			return nil
		}
	}
	if clash != nil {
		return clash
	}
	return r.missing(n)
}

func (r *resolver) dropped(name string) bool {
	return r.wish.Drop != nil && !r.asked[name] && r.wish.Drop(name)
}

// satisfied says whether a chosen package is or provides what is needed.
func (r *resolver) satisfied(d dependency) bool {
	if p := r.chosen[d.name]; p != nil && d.admits(p.version) {
		return true
	}
	for _, p := range r.c.providers(d.name) {
		if r.chosen[p.name] == p && p.gives(d) {
			return true
		}
	}
	return false
}

// candidate is the best version of a real package that satisfies d and all
// the limits of its name.
func (r *resolver) candidate(d dependency) *pkg {
	for _, p := range r.c.versions(d.name) {
		admitted := func(l dependency) bool { return l.admits(p.version) }
		if d.admits(p.version) && !slices.ContainsFunc(r.limits[d.name], func(l dependency) bool { return !admitted(l) }) {
			return p
		}
	}
	return nil
}

// provider chooses a package that provides d; done is true also when only
// packages that are left out provide it.
func (r *resolver) provider(d dependency) (done bool) {
	var best *pkg
	for _, p := range r.c.providers(d.name) {
		if !p.gives(d) {
			continue
		}
		if r.dropped(p.name) {
			done = true
			continue
		}
		if r.candidate(dependency{name: p.name}) != p {
			continue // another version of it would be taken
		}
		if best == nil || cmp.Or(cmp.Compare(p.importance, best.importance), strings.Compare(p.name, best.name)) < 0 {
			best = p
		}
	}
	if best == nil {
		return done
	}
	if r.chosen[best.name] == nil {
		r.choose(best)
	}
	return true
}

func (r *resolver) choose(p *pkg) {
	r.chosen[p.name] = p
	for _, alts := range p.depends {
		r.queue = append(r.queue, need{alts, p})
	}
}

// gives says whether the package provides d. A relation with a version needs
// a provision with a version.
func (p *pkg) gives(d dependency) bool {
	for _, v := range p.provides {
		if v.name == d.name && (d.op == "" || v.op == "=" && d.admits(v.version)) {
			return true
		}
	}
	return false
}

// plan sorts what was chosen and adds the other copies of each file.
func (r *resolver) plan() ([]item, error) {
	items := make([]item, 0, len(r.chosen))
	for _, p := range r.chosen {
		if len(p.promise.sha256) != 64 {
			return nil, volvox.Errorf(volvox.Checksum, "package %s cannot be checked", p.name).
				Because("the index of %s gives no SHA256 for it", p.index.source)
		}
		it := item{pkg: p}
		for _, q := range r.c.versions(p.name) {
			if q.promise == p.promise {
				it.copies = append(it.copies, q)
			}
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return items, nil
}

// versions returns the packages of a name, best first: by apt's priority of
// the repository, by version, by the order of sources.
func (c *catalog) versions(name string) []*pkg {
	var all []*pkg
	for _, ix := range c.indexes {
		for _, p := range ix.named(name) {
			if p.arch == c.arch || p.arch == "all" {
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *pkg) int {
		return cmp.Or(
			-cmp.Compare(a.index.priority, b.index.priority),
			-compareVersions(a.version, b.version),
			cmp.Compare(a.index.order, b.index.order),
			strings.Compare(a.filename, b.filename))
	})
	return all
}

// providers returns the packages that provide a name, in order of sources.
func (c *catalog) providers(name string) []*pkg {
	var all []*pkg
	for _, ix := range c.indexes {
		for _, p := range ix.providing(name) {
			if p.arch == c.arch || p.arch == "all" {
				all = append(all, p)
			}
		}
	}
	return all
}

// Names lists the packages asked for, for messages.
func Names(requests []Request) string {
	words := make([]string, len(requests))
	for i, q := range requests {
		words[i] = q.Name
		if q.Version != "" {
			words[i] += fmt.Sprintf("=%s", q.Version)
		}
	}
	return strings.Join(words, ", ")
}
