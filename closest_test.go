package volvox

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"apple", "banana", "grape", "max_connections", "max_worker_processes"}
	for word, want := range map[string]string{
		"aple":            "apple",
		"appel":           "apple",
		"APPLE":           "apple",
		"ban":             "banana",
		"grapes":          "grape",
		"max_conections":  "max_connections",
		"max-connections": "max_connections",
		"x":               "",
		"":                "",
		"cherry":          "",
		"grape":           "",                // it is known
		"max_":            "max_connections", // the nearer of two that begin so
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("Closest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestClosestOfSeveral(t *testing.T) {
	for _, tc := range []struct {
		word  string
		known []string
		want  string
	}{
		{"instance", []string{"instance_specs", "instances"}, "instances"},
		{"instance", []string{"instances", "instance_specs"}, "instances"},
		{"instance", []string{"instance_specs"}, "instance_specs"},
		{"cart", []string{"cartography", "card", "cars"}, "card"},
		{"name", []string{"name", "names"}, "names"},
		{"größe", []string{"größer", "grosse"}, "größer"},
	} {
		if got := Closest(tc.word, tc.known); got != tc.want {
			t.Errorf("Closest(%q, %q) = %q, want %q", tc.word, tc.known, got, tc.want)
		}
	}
}

func TestWords(t *testing.T) {
	if got := Hint("aple", []string{"apple"}) + Hint("x", []string{"apple"}); got != " (did you mean apple?)" {
		t.Errorf("the hint is %q", got)
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}} {
		if got := Either(words); got != want {
			t.Errorf("Either(%q) = %q, want %q", words, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"äb", "ab", 1}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
