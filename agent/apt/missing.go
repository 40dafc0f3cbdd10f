package apt

import (
	"fmt"
	"slices"
	"sort"
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
	var try []string
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
	if near := r.c.similar(first.name); len(near) > 0 && len(have) == 0 && n.by == nil {
		try = append(try, "did you mean "+strings.Join(near, ", ")+"?")
	}
	e := volvox.Errorf(code, "%s", what)
	if len(why) > 0 {
		e = e.Because("%s", strings.Join(why, "; "))
	}
	for _, t := range try {
		e = e.WithTry("%s", t)
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
// number first, then names that differ by a slip of the finger.
func (c *catalog) similar(name string) []string {
	stem := withoutDigits(name)
	distance := map[string]int{}
	for _, ix := range c.indexes {
		for other := range ix.names {
			switch {
			case withoutDigits(other) == stem:
				distance[other] = 0
			case abs(len(other)-len(name)) <= 2 && editDistance(other, name) <= 2:
				distance[other] = editDistance(other, name)
			case strings.HasPrefix(other, name+"-") && len(other) <= len(name)+8:
				distance[other] = 3
			}
		}
	}
	near := make([]string, 0, len(distance))
	for n := range distance {
		near = append(near, n)
	}
	sort.Slice(near, func(i, j int) bool {
		if distance[near[i]] != distance[near[j]] {
			return distance[near[i]] < distance[near[j]]
		}
		return near[i] < near[j]
	})
	return near[:min(5, len(near))]
}

func withoutDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c == '.' {
			return -1
		}
		return c
	}, s)
}

func abs(n int) int { return max(n, -n) }

// editDistance counts the letters to change, add or take away.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
