package apt

import (
	"fmt"
	"strings"
)

// dependency is one alternative of a relation, such as "libc6 (>= 2.34)".
type dependency struct {
	name    string
	arch    string // the qualifier after a colon: any, native or an architecture
	op      string // <<, <=, =, >=, >>; empty: any version
	version string
}

// alternatives are dependencies of which one is enough, the first preferred.
type alternatives []dependency

func (d dependency) String() string {
	if d.op == "" {
		return d.name
	}
	return fmt.Sprintf("%s (%s %s)", d.name, d.op, d.version)
}

func (a alternatives) String() string {
	words := make([]string, len(a))
	for i, d := range a {
		words[i] = d.String()
	}
	return strings.Join(words, " | ")
}

// admits says whether the version satisfies the relation.
func (d dependency) admits(version string) bool {
	if d.op == "" {
		return true
	}
	c := compareVersions(version, d.version)
	switch d.op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	default:
		return c > 0
	}
}

// parseDepends reads the value of a Depends, Pre-Depends or Provides field.
func parseDepends(s string) ([]alternatives, error) {
	var all []alternatives
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		var alts alternatives
		for word := range strings.SplitSeq(part, "|") {
			d, err := parseDependency(word)
			if err != nil {
				return nil, err
			}
			alts = append(alts, d)
		}
		all = append(all, alts)
	}
	return all, nil
}

func parseDependency(word string) (dependency, error) {
	var d dependency
	rest := strings.TrimSpace(word)
	if i := strings.IndexAny(rest, "[<"); i >= 0 && !strings.Contains(rest[:i], "(") {
		rest = strings.TrimSpace(rest[:i]) // restrictions of source packages
	}
	name, relation, found := strings.Cut(rest, "(")
	d.name = strings.TrimSpace(name)
	d.name, d.arch, _ = strings.Cut(d.name, ":")
	if !ValidName(d.name) {
		return d, fmt.Errorf("%q is not a dependency", word)
	}
	if !found {
		return d, nil
	}
	relation, _, closed := strings.Cut(relation, ")")
	relation = strings.TrimSpace(relation)
	n := 0
	for n < len(relation) && strings.IndexByte("<=>", relation[n]) >= 0 {
		n++
	}
	d.op, d.version = relation[:n], strings.TrimSpace(relation[n:])
	switch d.op {
	case "<": // the old spelling of <=
		d.op = "<="
	case ">":
		d.op = ">="
	case "<<", "<=", "=", ">=", ">>":
	default:
		return d, fmt.Errorf("%q is not a version relation", word)
	}
	if !closed || d.version == "" {
		return d, fmt.Errorf("%q is not a version relation", word)
	}
	return d, nil
}

// ValidName says whether s can be the name of a package. It follows Debian's rule, and also admits the capitals and
// underscores that some virtual names have.
func ValidName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
		if !letter && (i == 0 || strings.IndexByte("+-._", c) < 0) {
			return false
		}
	}
	return true
}
