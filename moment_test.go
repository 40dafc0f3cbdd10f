package volvox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                              {},
		"-10m":                          now.Add(-10 * time.Minute),
		"-1h30m":                        now.Add(-90 * time.Minute),
		"-2d":                           now.AddDate(0, 0, -2),
		"-1w1d":                         now.AddDate(0, 0, -8),
		"-1.5s":                         now.Add(-1500 * time.Millisecond),
		"-250ms":                        now.Add(-250 * time.Millisecond),
		"-0s":                           now,
		"2026-01-31T11:59:00Z":          now.Add(-time.Minute),
		"2026-01-31T13:00:00.5+01:00":   now.Add(500 * time.Millisecond),
		"2026-01-31T12:00:00.000001Z":   now.Add(time.Microsecond),
		"2026-01-31T12:00:00.00000001Z": now.Add(10),
	} {
		got, err := volvox.ParseMoment(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"10m", "-", "-10", "-m", "--1m", "-1y", "-1m2", "yesterday", "2026-01-31", "2026-01-31 12:00:00", "-1e9h", "-9999999w", "- 1m", "+1m", "-1..5s"} {
		if got, err := volvox.ParseMoment(text, now); volvox.CodeOf(err) != volvox.BadTime || len(volvox.AsError(err).Try) == 0 {
			t.Errorf("%q is %v, %v, want %s with something to try", text, got, err, volvox.BadTime)
		}
	}
	_, err := volvox.ParseMoment("10m", now)
	if !strings.Contains(volvox.AsError(err).Cause(), "-10m") {
		t.Errorf("a forgotten minus is not pointed out: %v", err)
	}
}

func FuzzParseMoment(f *testing.F) {
	for _, seed := range []string{"-10m", "-1h30m", "-2d1w", "2026-01-31T12:00:00Z", "-1.5ms", "-99999999999999999999w", "-.s"} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := volvox.ParseMoment(text, now)
		switch {
		case err != nil:
			if volvox.CodeOf(err) != volvox.BadTime {
				t.Errorf("%q: %v", text, err)
			}
		case strings.HasPrefix(text, "-"):
			if got.After(now) || got.Before(now.AddDate(-101, 0, 0)) {
				t.Errorf("%q is %v, which is not a time ago", text, got)
			}
		case text != "":
			again, err := volvox.ParseMoment(got.Format(time.RFC3339Nano), now)
			if err != nil || !again.Equal(got) {
				t.Errorf("%q is %v, written and read again %v, %v", text, got, again, err)
			}
		}
	})
}
