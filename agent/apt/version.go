package apt

import "strings"

// compareVersions orders two Debian version strings, as dpkg does:
// [epoch:]upstream[-revision], a tilde sorts before everything, even the end.
func compareVersions(a, b string) int {
	ea, ua, ra := splitVersion(a)
	eb, ub, rb := splitVersion(b)
	if c := compareDigits(ea, eb); c != 0 {
		return c
	}
	if c := compareParts(ua, ub); c != 0 {
		return c
	}
	return compareParts(ra, rb)
}

// splitVersion cuts a version into its three parts. A version without a
// revision is equal to one whose revision is 0.
func splitVersion(v string) (epoch, upstream, revision string) {
	upstream = strings.TrimSpace(v)
	if i := strings.IndexByte(upstream, ':'); i >= 0 {
		epoch, upstream = upstream[:i], upstream[i+1:]
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		upstream, revision = upstream[:i], upstream[i+1:]
	}
	return epoch, upstream, revision
}

// compareParts compares by turns a stretch of non-digits and one of digits.
func compareParts(a, b string) int {
	for a != "" || b != "" {
		var wa, wb, na, nb string
		wa, a = cutWhile(a, false)
		wb, b = cutWhile(b, false)
		if c := compareWords(wa, wb); c != 0 {
			return c
		}
		na, a = cutWhile(a, true)
		nb, b = cutWhile(b, true)
		if c := compareDigits(na, nb); c != 0 {
			return c
		}
	}
	return 0
}

func cutWhile(s string, digits bool) (head, tail string) {
	i := 0
	for i < len(s) && isDigit(s[i]) == digits {
		i++
	}
	return s[:i], s[i:]
}

func compareWords(a, b string) int {
	for i := 0; i < len(a) || i < len(b); i++ {
		ca, cb := weight(a, i), weight(b, i)
		if ca != cb {
			return sign(ca - cb)
		}
	}
	return 0
}

// weight is the rank of s[i]: tilde, then the end, then letters, then others.
func weight(s string, i int) int {
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	case s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z':
		return int(s[i])
	default:
		return int(s[i]) + 256
	}
}

// compareDigits compares numbers of any length; no digits is zero.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
