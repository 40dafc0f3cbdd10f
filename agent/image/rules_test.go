package image

import "testing"

func TestRules(t *testing.T) {
	for name, want := range map[string]bool{
		"usr/share/doc": true, "usr/share/doc/x/y": true, "usr/share/documents": false, "usr/share": false,
		"usr/lib/x86_64-linux-gnu/gconv/UTF-16.so": false, "usr/lib/x86_64-linux-gnu/gconv/IBM850.so": true,
		"usr/lib/x86_64-linux-gnu/gconv/gconv-modules.d/x.conf": false,
		"usr/lib/engine/15/lib/bitcode/a/b.bc":                  true, "usr/lib/engine/15/lib/a.so": false,
		"usr/lib/locale/C.utf8/LC_CTYPE": false, "usr/share/locale/de": true, "usr/share/zoneinfo/Etc/UTC": false,
	} {
		if droppedPath(name) != want {
			t.Errorf("droppedPath(%q) is %v", name, !want)
		}
	}
	for _, r := range nameRules {
		if r.reason == "" {
			t.Errorf("rule %s has no reason", r.pattern)
		}
	}
	for _, b := range basePackages {
		if droppedName(b) {
			t.Errorf("base package %s is left out", b)
		}
	}
}
