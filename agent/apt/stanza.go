package apt

import (
	"fmt"
	"strings"
)

// stanza is one paragraph of a deb822 file. Field names are in lower case;
// values keep their line breaks, without the leading blank of each line.
type stanza map[string]string

// parseStanzas reads a deb822 file: fields, continuation lines that begin
// with a blank, comment lines that begin with #.
func parseStanzas(text string) ([]stanza, error) {
	var all []stanza
	var now stanza
	field := ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			now, field = nil, ""
		case line[0] == ' ' || line[0] == '\t':
			if field == "" {
				return nil, fmt.Errorf("line %d continues no field", number)
			}
			now[field] += "\n" + line[1:]
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok || strings.ContainsAny(name, " \t") || name == "" {
				return nil, fmt.Errorf("line %d is not \"Field: value\"", number)
			}
			if now == nil {
				now = stanza{}
				all = append(all, now)
			}
			field = strings.ToLower(name)
			now[field] = strings.TrimSpace(value)
		}
	}
	return all, nil
}

// isNo and isYes read a boolean as apt does; anything else is neither.
func isNo(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "no", "false", "without", "off", "disable", "0":
		return true
	}
	return false
}

func isYes(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "yes", "true", "with", "on", "enable", "1":
		return true
	}
	return false
}
