package apt

import "testing"

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a    string
		want int
		b    string
	}{
		{"1.0", 0, "1.0"},
		{"1.0", 0, "1.0-0"},
		{"1.0", 0, "0:1.0"},
		{"1.0", -1, "1.1"},
		{"1.9", -1, "1.10"},
		{"1.0~rc1", -1, "1.0"},
		{"1.0~~", -1, "1.0~"},
		{"1.0~~a", -1, "1.0~"},
		{"1.0~", -1, "1.0"},
		{"1.0", -1, "1.0a"},
		{"1.0a", -1, "1.0+"},
		{"1.0b", -1, "1.0+"},
		{"1:0.1", 1, "9.9"},
		{"2:1", -1, "10:1"},
		{"1.0-1", -1, "1.0-1+b1"},
		{"1.0-1", 1, "1.0"},
		{"1.0-1~deb12u1", -1, "1.0-1"},
		{"5:7.0.15-1~deb12u7", -1, "5:7.0.15-1~deb12u10"},
		{"15.20-0+deb12u1", 1, "15~beta2"},
		{"241~", -1, "248+deb12u2"},
		{"72.1~rc-1~", -1, "72.1-3+deb12u1"},
		{"2.5.13+dfsg-5", 1, "2.5.4"},
		{"1.2.13.dfsg-1", 1, "1.2.13.1-1"},
		{"0:0-0-0", -1, "0:0-0-1"},
		{"000001", 0, "1"},
		{"1.000000000000000000000000000002", 1, "1.1"},
		{"a", 1, "1"},
		{"", 0, "0"},
		{"", 1, "~"},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("compareVersions(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := compareVersions(c.b, c.a); got != -compareVersions(c.a, c.b) {
			t.Errorf("compareVersions(%q, %q) = %d is not the opposite", c.b, c.a, got)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0~rc1-1", "1:2.0+dfsg-3", "0")
	f.Add("", "~", "a-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, bc, ac := compareVersions(a, b), compareVersions(b, c), compareVersions(a, c)
		if compareVersions(a, a) != 0 || ab != -compareVersions(b, a) {
			t.Errorf("%q and %q are in no order", a, b)
		}
		if ab <= 0 && bc <= 0 && ac > 0 || ab == 0 && bc == 0 && ac != 0 {
			t.Errorf("%q <= %q <= %q, but not the first and the last", a, b, c)
		}
	})
}
