package apt

import (
	"strings"
	"testing"
)

func TestParseDepends(t *testing.T) {
	all, err := parseDepends("libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0,\n python3:any, foo:i386 (<< 1:2~), bar [amd64] <!nocheck>, old (< 3),")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, a := range all {
		words = append(words, a.String())
	}
	want := "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3, foo (<< 1:2~), bar, old (<= 3)"
	if got := strings.Join(words, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if all[2][0].arch != "any" || all[3][0].arch != "i386" {
		t.Errorf("qualifiers: %q, %q", all[2][0].arch, all[3][0].arch)
	}
	for _, bad := range []string{"a b", "a (1.0)", "a (>= )", "a (>= 1", "|", "a,(>= 1)", "ü", "a (=> 1)"} {
		if _, err := parseDepends(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAdmits(t *testing.T) {
	for text, want := range map[string]string{
		"a": "123", "a (<< 2)": "1", "a (<= 2)": "12", "a (= 2)": "2", "a (>= 2)": "23", "a (>> 2)": "3",
	} {
		all, err := parseDepends(text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range []string{"1", "2", "3"} {
			if all[0][0].admits(v) {
				got += v
			}
		}
		if got != want {
			t.Errorf("%s admits %s, want %s", text, got, want)
		}
	}
}

func FuzzParseDepends(f *testing.F) {
	f.Add("libc6 (>= 2.34), a | b:any (= 1:1~x) [amd64], c <x>")
	f.Add("a (<<")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseDepends(s)
		if err != nil {
			return
		}
		var words []string
		for _, a := range all {
			words = append(words, a.String())
		}
		text := strings.Join(words, ", ")
		again, err := parseDepends(text)
		if err != nil || len(again) != len(all) {
			t.Fatalf("%q became %q, which is read as %v, %v", s, text, again, err)
		}
	})
}
