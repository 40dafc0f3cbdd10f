package volvox

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Closest returns the known word that the given one was most likely meant to
// be, for "did you mean"; empty if none is near enough. Near is a word with a
// third of its letters wrong at most, and one that begins with the given word
// of three letters or more. Of several the nearest is taken, of equally near
// ones the first. It is never the given word itself.
func Closest(word string, known []string) string {
	lower, length := strings.ToLower(word), utf8.RuneCountInString(word)
	best, least, limit := "", math.MaxInt, max(1, length/3)
	for _, k := range known {
		other := strings.ToLower(k)
		begins := length >= 3 && strings.HasPrefix(other, lower)
		tooLong := utf8.RuneCountInString(other) - length
		if k == word || !begins && max(tooLong, -tooLong) > limit {
			continue
		}
		if d := distance(lower, other); d < least && (begins || d <= limit) {
			best, least = k, d
		}
	}
	return best
}

// Hint is what is added to the name of a thing that is not known:
// " (did you mean X?)" for the [Closest], or nothing.
func Hint(word string, known []string) string {
	if near := Closest(word, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// Either lists words as in "a, b or c".
func Either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// distance counts the letters to insert, leave out, change, or swap with the
// next one to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, now := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range now {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		now[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(y)]
}
