package apt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
)

// missing is the error for a need that nothing satisfies: it says who needs
// it, what there is instead, and which sources could not be asked.
func (r *resolver) missing(n need) error {
	first := n.alts[0]
	what := fmt.Sprintf("package %s is in none of this machine's apt sources", first.name)
	if n.by != nil {
		what = fmt.Sprintf("package %s, which %s needs, is in none of this machine's apt sources", n.alts, n.by)
	}
	var why []string
	have := r.c.versions(first.name)
	if len(have) > 0 {
		var wanted []string
		if n.by != nil {
			wanted = append(wanted, first.String()+", by "+n.by.String())
		}
		for _, l := range r.limits[first.name] {
			wanted = append(wanted, l.String())
		}
		what = fmt.Sprintf("no version of package %s is as needed: %s", first.name, strings.Join(wanted, ", and "))
		why = append(why, "there is "+versionList(have))
	}
	code := volvox.NoPackage
	if len(r.c.faults) > 0 {
		code = r.c.faults[0].code
		for _, f := range r.c.faults {
			why = append(why, "could not be used: "+f.String())
		}
	}
	if len(r.c.indexes) > 0 && len(have) == 0 {
		why = append(why, "looked in "+r.c.searched())
	}
	if len(r.c.indexes) == 0 && len(r.c.faults) == 0 {
		why = append(why, "no sources were found in /etc/apt")
	}
	for _, p := range r.c.problems {
		why = append(why, p.Error())
	}
	e := volvox.Errorf(code, "%s", what)
	if len(why) > 0 {
		e = e.Because("%s", strings.Join(why, "; "))
	}
	if len(have) > 0 || n.by != nil {
		return e
	}
	if near := r.c.similar(first.name); len(near) > 0 {
		e = e.WithTry("use the package %s instead", strings.Join(near, " or "))
	}
	return e
}

// searched names the sources whose indexes could be read.
func (c *catalog) searched() string {
	var words []string
	for _, ix := range c.indexes {
		if w := ix.source.String(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func versionList(have []*pkg) string {
	var words []string
	for _, p := range have {
		if !slices.Contains(words, p.version) {
			words = append(words, p.version)
		}
	}
	return strings.Join(words, ", ")
}

// similar returns up to five names like this one: the same name with another
// number, or else the one that is most likely meant.
func (c *catalog) similar(name string) []string {
	var numbered, all []string
	stem := withoutDigits(name)
	for _, ix := range c.indexes {
		for other := range ix.names {
			all = append(all, other)
			if withoutDigits(other) == stem {
				numbered = append(numbered, other)
			}
		}
	}
	if len(numbered) == 0 {
		slices.Sort(all)
		if near := volvox.Closest(name, all); near != "" {
			return []string{near}
		}
	}
	slices.Sort(numbered)
	numbered = slices.Compact(numbered)
	return numbered[:min(5, len(numbered))]
}

func withoutDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c == '.' {
			return -1
		}
		return c
	}, s)
}
