package document

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file; the zero one is the file as a whole.
type Position struct {
	Line   int // from 1
	Column int // from 1, in characters
}

// Fault is one thing that is wrong in a file.
type Fault struct {
	File string
	Position
	What string // what is wrong and what is allowed
}

// Error is "file:line:column: what".
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.What)
}

// Faults collects what is wrong; the zero value holds nothing.
type Faults struct {
	list []*Fault
	seen map[Fault]bool
}

// Add adds a fault, unless it is there already.
func (fs *Faults) Add(file string, at Position, format string, args ...any) {
	f := Fault{file, at, fmt.Sprintf(format, args...)}
	if fs.seen[f] {
		return
	}
	if fs.seen == nil {
		fs.seen = map[Fault]bool{}
	}
	fs.seen[f] = true
	fs.list = append(fs.list, &f)
}

// Len is how many there are.
func (fs *Faults) Len() int { return len(fs.list) }

// Err is every [Fault], in the order of files and lines, joined; nil if there
// are none.
func (fs *Faults) Err() error {
	all := make([]error, len(fs.list))
	slices.SortFunc(fs.list, func(a, b *Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), strings.Compare(a.What, b.What))
	})
	for i, f := range fs.list {
		all[i] = f
	}
	return errors.Join(all...)
}
