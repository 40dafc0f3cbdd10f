package volvox

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"1":                1,
		"1024":             1024,
		"1Ki":              1024,
		"1KiB":             1024,
		"1k":               1000,
		"500MB":            500_000_000,
		"512Mi":            512 << 20,
		"1Gi":              1 << 30,
		"1gi":              1 << 30,
		" 1.5 GiB ":        3 << 29,
		"0.5Ti":            1 << 39,
		"8388607Ti":        8388607 << 40,
		"9007199254740993": 9007199254740993, // not exact as a float
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "-1Gi", "Gi", "1Xi", "1..5Gi", "one", "1Gi2", "8388608Ti", "1e9", "NaN", "Inf", "0.1"} {
		if got, err := ParseBytes(text); CodeOf(err) != BadInput {
			t.Errorf("ParseBytes(%q) = %d, %v, want %s", text, got, err, BadInput)
		}
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]int64{"1": 1000, "2": 2000, "0.5": 500, "500m": 500, "1.25": 1250, "1m": 1, "0.001": 1} {
		if got, err := ParseCPU(text); err != nil || got != want {
			t.Errorf("ParseCPU(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0m", "-1", "m", "1M", "2 cpus", "0.0001", "0.5m", "1e3", "NaN", "99999999999"} {
		if got, err := ParseCPU(text); CodeOf(err) != BadInput {
			t.Errorf("ParseCPU(%q) = %d, %v, want %s", text, got, err, BadInput)
		}
	}
}

func TestFormatQuantity(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0", 1: "1", 1000: "1000", 1024: "1Ki", 1536: "1.5Ki", 512 << 20: "512Mi", 1 << 30: "1Gi", 5 << 28: "1.25Gi", 1<<30 + 1: "1073741825"} {
		if got := FormatBytes(bytes); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", bytes, got, want)
		}
	}
	for bytes, want := range map[int64]string{0: "0", 999: "999", 1023: "1023", 1024: "1Ki", 1434451: "1.37Mi", 25769803776: "24Gi", 25232932864: "23.5Gi", 1 << 50: "1024Ti"} {
		if got := ShowBytes(bytes); got != want {
			t.Errorf("ShowBytes(%d) = %q, want %q", bytes, got, want)
		}
	}
	for millis, want := range map[int64]string{0: "0", 1: "1m", 500: "500m", 1000: "1", 1500: "1500m", 2000: "2"} {
		if got := FormatCPU(millis); got != want {
			t.Errorf("FormatCPU(%d) = %q, want %q", millis, got, want)
		}
	}
}

func TestQuantityRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.Int64Range(1, 1<<62).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "round") {
			bytes = max(1, bytes>>28) << 28
		}
		if got, err := ParseBytes(FormatBytes(bytes)); err != nil || got != bytes {
			t.Fatalf("%d is written %q and read %d, %v", bytes, FormatBytes(bytes), got, err)
		}
		millis := rapid.Int64Range(1, 1e9).Draw(t, "millis")
		if got, err := ParseCPU(FormatCPU(millis)); err != nil || got != millis {
			t.Fatalf("%d is written %q and read %d, %v", millis, FormatCPU(millis), got, err)
		}
	})
}
