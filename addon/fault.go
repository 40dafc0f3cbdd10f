package addon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
)

// Fault is one thing that is wrong in a file of an addon.
type Fault struct {
	File   string // relative to the directory that was read
	Line   int    // from 1; 0 when the whole file is meant
	Column int    // from 1, in characters
	What   string // what is wrong and what is allowed
}

// Error is "file:line:column: what".
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.What)
}

// faults collects what is wrong in one addon.
type faults struct {
	list []*Fault
}

func (fs *faults) add(file string, at position, format string, args ...any) {
	fs.list = append(fs.list, &Fault{File: file, Line: at.line, Column: at.column, What: fmt.Sprintf(format, args...)})
}

// err returns all faults, in the order of files and lines, as one error with
// code E_BAD_FILE; nil if there are none.
func (fs *faults) err(name string) error {
	if len(fs.list) == 0 {
		return nil
	}
	slices.SortStableFunc(fs.list, func(a, b *Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), strings.Compare(a.What, b.What))
	})
	all := make([]error, 0, len(fs.list))
	for i, f := range fs.list {
		if i > 0 && *f == *fs.list[i-1] {
			continue
		}
		all = append(all, f)
	}
	noun := "fault"
	if len(all) > 1 {
		noun = "faults"
	}
	return volvox.Errorf(volvox.BadFile, "the addon %s has %d %s", name, len(all), noun).
		From(errors.Join(all...)).WithTry("mend the lines named; docs/reference/addon.md describes every key")
}

// nearest returns " (did you mean X?)" for the candidate that a person may
// have meant by got, or nothing.
func nearest(got string, candidates []string) string {
	if best := volvox.Closest(got, candidates); best != "" {
		return " (did you mean " + best + "?)"
	}
	return ""
}

// either lists words as in "a, b or c".
func either(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	default:
		return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	}
}
