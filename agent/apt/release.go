package apt

import (
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// release is what a repository promises about its files.
type release struct {
	date         time.Time
	validUntil   time.Time // zero: for ever
	notAutomatic bool
	butUpgrades  bool
	archs        []string
	noAllInIndex bool // index of architecture all is a file of its own
	byHash       bool
	files        map[string]promise
}

// promise is the checksum and size of one file.
type promise struct {
	sha256 string
	size   int64
}

// parseRelease reads a release file whose signature was checked.
func parseRelease(text string) (*release, error) {
	stanzas, err := parseStanzas(text)
	if err != nil {
		return nil, err
	}
	if len(stanzas) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	st := stanzas[0]
	r := &release{
		notAutomatic: isYes(st["notautomatic"]),
		butUpgrades:  isYes(st["butautomaticupgrades"]),
		archs:        strings.Fields(st["architectures"]),
		byHash:       isYes(st["acquire-by-hash"]),
		noAllInIndex: !strings.Contains(st["no-support-for-architecture-all"], "Packages"),
		files:        map[string]promise{},
	}
	r.date, _ = mail.ParseDate(st["date"])
	if v := st["valid-until"]; v != "" {
		if r.validUntil, err = mail.ParseDate(v); err != nil {
			return nil, fmt.Errorf("its Valid-Until %q is no date", v)
		}
	}
	for line := range strings.Lines(st["sha256"]) {
		words := strings.Fields(line)
		if len(words) != 3 || len(words[0]) != 64 {
			continue
		}
		if size, err := strconv.ParseInt(words[1], 10, 64); err == nil {
			r.files[words[2]] = promise{sha256: strings.ToLower(words[0]), size: size}
		}
	}
	return r, nil
}

// outdated says why the release may not be used at this time, or nothing.
func (r *release) outdated(now time.Time, conf aptConf, s source) string {
	if !r.validUntil.IsZero() && now.After(r.validUntil) && !s.noExpiry && !conf.off("Acquire::Check-Valid-Until") {
		return fmt.Sprintf("its index was valid until %s; the mirror is out of date, or this machine's clock is wrong", r.validUntil.Format(time.RFC3339))
	}
	if !r.date.IsZero() && r.date.After(now.Add(10*time.Second)) && !conf.off("Acquire::Check-Date") {
		return fmt.Sprintf("its index is from the future, %s; is this machine's clock right?", r.date.Format(time.RFC3339))
	}
	return ""
}

// priority is apt's default: what is not meant to be installed by itself is
// taken only where nothing else has the package.
func (r *release) priority() int {
	switch {
	case r.notAutomatic && r.butUpgrades:
		return 100
	case r.notAutomatic:
		return 1
	}
	return 500
}
