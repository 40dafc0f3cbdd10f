package volvox

import (
	"strconv"
	"strings"
	"time"
)

// maxAgo is the longest time ago that is understood, a century.
const maxAgo = 100 * 365 * 24 * time.Hour

// momentUnits are the units of a time ago, longest first.
var momentUnits = []struct {
	name string
	size time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"ms", time.Millisecond}, {"m", time.Minute}, {"s", time.Second},
}

// ParseMoment reads a moment as people write it: RFC 3339, or a time before
// now such as -10m, -1h30m, -2d. Empty is the zero time, which means now.
// Errors have code E_BAD_TIME.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	bad := func(cause string) error {
		return Errorf(BadTime, "%q is not a time", text).Because("%s", cause).
			WithTry("write a time ago such as -10m, -1h30m or -2d").
			WithTry("write a time such as %s", now.UTC().Add(-time.Hour).Format(time.RFC3339))
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		d, ok := parseAgo(ago)
		if !ok {
			return time.Time{}, bad("a time ago is a minus and numbers with the units w, d, h, m, s or ms")
		}
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if _, ok := parseAgo(text); ok {
			return time.Time{}, bad("a time ago begins with a minus: -" + text)
		}
		return time.Time{}, bad("it is neither RFC 3339 nor a time ago")
	}
	return t, nil
}

// parseAgo reads "1h30m".
func parseAgo(text string) (sum time.Duration, ok bool) {
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, false
		}
		n, err := strconv.ParseFloat(text[:end], 64)
		if err != nil {
			return 0, false
		}
		text = text[end:]
		found := false
		for _, u := range momentUnits {
			if rest, cut := strings.CutPrefix(text, u.name); cut {
				if n > float64(maxAgo)/float64(u.size) {
					return 0, false
				}
				sum, text, found = sum+time.Duration(n*float64(u.size)), rest, true
				break
			}
		}
		if !found || sum > maxAgo {
			return 0, false
		}
		ok = true
	}
	return sum, ok
}
