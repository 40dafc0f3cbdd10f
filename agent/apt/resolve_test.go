package apt

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/volvox-os/volvox"
)

var baseNames = []string{"libc6", "sed"}

// catalogOf makes a catalog of lines "name version ; field: value ; …".
func catalogOf(t *testing.T, priority int, lines ...string) *catalog {
	t.Helper()
	var b strings.Builder
	for _, line := range append(lines, baseNames...) {
		parts := strings.Split(line, " ; ")
		name, version, ok := strings.Cut(strings.TrimSpace(parts[0]), " ")
		if !ok {
			version = "1.0"
		}
		b.WriteString("Package: " + name + "\nVersion: " + version + "\nArchitecture: amd64\nFilename: f\nSize: 1\nSHA256: " + fmt.Sprintf("%x", sha256.Sum256([]byte(line))) + "\n")
		for _, p := range parts[1:] {
			b.WriteString(strings.TrimSpace(p) + "\n")
		}
		b.WriteString("\n")
	}
	ix := &index{text: []byte(b.String()), priority: priority, source: source{uri: "http://test/", suite: "stable", components: []string{"main"}}}
	ix.scan()
	return &catalog{arch: "amd64", indexes: []*index{ix}}
}

// planOf resolves a reference and returns "name=version …" without the base.
func planOf(t *testing.T, c *catalog, ref string) (string, error) {
	t.Helper()
	w := Wish{Base: baseNames, Drop: func(name string) bool {
		return strings.HasSuffix(name, "-common") || slices.Contains([]string{"perl", "adduser", "debconf", "systemd", "cron", "libllvm14"}, name)
	}}
	for word := range strings.SplitSeq(ref, ",") {
		name, version, _ := strings.Cut(word, "=")
		w.Packages = append(w.Packages, Request{name, version})
	}
	items, err := resolve(c, w)
	if err != nil {
		return "", err
	}
	base := " " + strings.Join(baseNames, " ") + " "
	var words []string
	for _, it := range items {
		if !strings.Contains(base, " "+it.name+" ") {
			words = append(words, it.name+"="+it.version)
		}
	}
	return strings.Join(words, " "), nil
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ name, ref, want, lines string }{
		{"closure", "a", "a=1 b=1 c=1", "a 1 ; Depends: b\nb 1 ; Pre-Depends: c, libc6\nc 1 ; Recommends: d\nd 1"},
		{"highest version", "a", "a=1.10", "a 1.9\na 1.10\na 1.2"},
		{"asked version", "a=1.9", "a=1.9", "a 1.9\na 1.10"},
		{"first alternative that is there", "a", "a=1 c=1", "a 1 ; Depends: b | c | d\nc 1\nd 1"},
		{"alternative chosen already", "a,d", "a=1 d=1", "a 1 ; Depends: c | d\nc 1\nd 1"},
		{"alternative by version", "a", "a=1 d=1", "a 1 ; Depends: c (>= 2) | d\nc 1\nd 1"},
		{"virtual, most important first", "a", "a=1 y=1", "a 1 ; Depends: v\nx 1 ; Provides: v\ny 1 ; Provides: v ; Priority: required\nz 1 ; Provides: v"},
		{"virtual, then by name", "a", "a=1 x=1", "a 1 ; Depends: v\nz 1 ; Provides: v\nx 1 ; Provides: v"},
		{"real before virtual", "a", "a=1 v=1", "a 1 ; Depends: v\nx 1 ; Provides: v\nv 1"},
		{"virtual with version", "a", "a=1 z=1", "a 1 ; Depends: v (>= 2)\nx 1 ; Provides: v\ny 1 ; Provides: v (= 1)\nz 1 ; Provides: v (= 2)"},
		{"virtual chosen already", "a,z", "a=1 z=1", "a 1 ; Depends: v\nx 1 ; Provides: v\nz 1 ; Provides: v"},
		{"left out by name", "a", "a=1", "a 1 ; Depends: perl, adduser, libllvm14, x-common, debconf (>= 0.5) | debconf-2.0\nperl 1\nadduser 1\nlibllvm14 1\nx-common 1\ndebconf 1"},
		{"not there but left out", "a", "a=1", "a 1 ; Depends: systemd | nothing"},
		{"asked for, so not left out", "a,perl", "a=1 perl=1", "a 1 ; Depends: perl\nperl 1"},
		{"provided only by what is left out", "a", "a=1", "a 1 ; Depends: cron-daemon\ncron 1 ; Provides: cron-daemon"},
		{"circle", "a", "a=1 b=1", "a 1 ; Depends: b\nb 1 ; Depends: a"},
		{"any architecture", "a", "a=1 b=1", "a 1 ; Depends: b:any\nb 1"},
		{"a choice made again", "a,c", "a=1 b=1 c=1", "a 1 ; Depends: b\nb 1\nb 2\nc 1 ; Depends: b (= 1)"},
		{"asked version rules dependencies", "a,b=1", "a=1 b=1", "a 1 ; Depends: b\nb 1\nb 2"},
		{"other architectures are not seen", "a", "a=1", "a 1\na 2 ; Architecture: s390x"},
		{"a broken stanza is not seen", "a", "a=1", "a 1\na 2 ; Depends: ((("},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := catalogOf(t, 500, strings.Split(c.lines, "\n")...)
			got, err := planOf(t, cat, c.ref)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestResolvePriorities(t *testing.T) {
	c := catalogOf(t, 500, "a 1 ; Depends: b", "b 1")
	backports := catalogOf(t, 100, "a 2", "b 2", "new 1")
	c.indexes = append(c.indexes, backports.indexes...)
	if got, err := planOf(t, c, "a,new"); err != nil || got != "a=1 b=1 new=1" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := planOf(t, c, "a=2"); err != nil || got != "a=2" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestResolveMissing(t *testing.T) {
	c := catalogOf(t, 500, "engine-15 1", "engine-17 1", "engine-client 1", "a 1 ; Depends: b (>= 2) | gone", "b 1", "x 1 ; Depends: y (= 1)", "y 1", "y 2", "z 1 ; Depends: y (= 2)", "foreign 1 ; Depends: y:s390x")
	for _, q := range []struct{ ref, want, try string }{
		{"engine-16", "package engine-16 is in none of this machine's apt sources: looked in http://test/ stable main", "use the package engine-15 or engine-17 instead"},
		{"enigne-15", "package enigne-15 is in none of this machine's apt sources: looked in http://test/ stable main", "use the package engine-15 instead"},
		{"engine-15=2", "no version of package engine-15 is as needed: engine-15 (= 2): there is 1", ""},
		{"a", "no version of package b is as needed: b (>= 2), by a 1: there is 1", ""},
		{"x,z", "no version of package y is as needed: y (= 1), by x 1, and y (= 2): there is 2, 1", ""},
		{"foreign", "no version of package y is as needed: y, by foreign 1: there is 2, 1", ""},
	} {
		_, err := planOf(t, c, q.ref)
		e := volvox.AsError(err)
		if e == nil || e.Code != volvox.NoPackage || e.Error() != q.want || strings.Join(e.Try, ";") != q.try {
			t.Errorf("%s: got %+v\nwant %s (%s)", q.ref, e, q.want, q.try)
		}
	}
	c.faults = []fault{{source{uri: "http://away/", suite: "s", components: []string{"main"}}, volvox.MirrorUnavailable, errStalled}}
	_, err := planOf(t, c, "engine-16")
	if e := volvox.AsError(err); e.Code != volvox.MirrorUnavailable || !strings.Contains(e.Cause(), "http://away/ s main: no more bytes came") {
		t.Errorf("the source that could not be used is not named: %+v", e)
	}
}
