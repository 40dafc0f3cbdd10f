package apt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// index is one Packages file, mapped into memory. It is scanned once for the
// names and what is provided; a stanza is parsed when somebody asks for it.
type index struct {
	source   source
	priority int
	order    int // of the source, and in it
	text     []byte
	mapped   bool
	entries  []entry
	names    map[string]int32   // first entry of the name
	virtual  map[string][]int32 // entries that provide a name
	parsed   map[int32]*pkg
}

// entry is one stanza: text[from:to]; next is another entry of the same name
// or -1.
type entry struct{ from, to, next int32 }

// pkg is a package that could be installed.
type pkg struct {
	name, version, arch string
	filename            string
	promise             promise
	installed           int64 // bytes, as the maintainer says
	importance          int   // of its Priority field; less is more important
	depends             []alternatives
	provides            []dependency // with op "=" where versioned
	index               *index
}

func (p *pkg) String() string { return p.name + " " + p.version }

// openIndex maps and scans a decompressed Packages file.
func openIndex(path string) (*index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > 1<<30 {
		return nil, errors.New("the index is larger than 1 GiB")
	}
	ix := &index{}
	if info.Size() > 0 {
		ix.text, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", path, err)
		}
		ix.mapped = true
	}
	ix.scan()
	return ix, nil
}

func (ix *index) close() {
	if ix.mapped {
		_ = unix.Munmap(ix.text)
	}
	ix.text, ix.mapped = nil, false
}

var (
	fieldPackage  = []byte("\nPackage:")
	fieldProvides = []byte("\nProvides:")
	stanzaEnd     = []byte("\n\n")
)

// scan finds the stanzas, their names and what they provide.
func (ix *index) scan() {
	ix.names = make(map[string]int32, len(ix.text)/800)
	ix.virtual = map[string][]int32{}
	ix.parsed = map[int32]*pkg{}
	ix.entries = make([]entry, 0, len(ix.text)/800)
	for at := 0; at < len(ix.text); {
		end := len(ix.text)
		if i := bytes.Index(ix.text[at:], stanzaEnd); i >= 0 {
			end = at + i
		}
		if name := fieldValue(ix.text[at:end], fieldPackage); name != "" {
			n := int32(len(ix.entries))
			next, seen := ix.names[name]
			if !seen {
				next = -1
			}
			ix.entries = append(ix.entries, entry{int32(at), int32(end), next})
			ix.names[name] = n
			if v := fieldValue(ix.text[at:end], fieldProvides); v != "" {
				ix.addProvides(v, n)
			}
		}
		at = end
		for at < len(ix.text) && ix.text[at] == '\n' {
			at++
		}
	}
}

func (ix *index) addProvides(value string, n int32) {
	for part := range strings.SplitSeq(value, ",") {
		name, _, _ := strings.Cut(part, "(")
		name, _, _ = strings.Cut(strings.TrimSpace(name), ":")
		if name != "" {
			ix.virtual[name] = append(ix.virtual[name], n)
		}
	}
}

// fieldValue returns the one-line value of a field given as "\nName:".
func fieldValue(stanza, field []byte) string {
	at := len(field)
	if !bytes.HasPrefix(stanza, field[1:]) {
		i := bytes.Index(stanza, field)
		if i < 0 {
			return ""
		}
		at = i + len(field)
	} else {
		at--
	}
	line := stanza[at:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	return string(bytes.TrimSpace(line))
}

// named returns the packages of a name, in the index's order.
func (ix *index) named(name string) []*pkg {
	var all []*pkg
	n, ok := ix.names[name]
	for ok && n >= 0 {
		if p := ix.pkg(n); p != nil {
			all = append(all, p)
		}
		n = ix.entries[n].next
	}
	return all
}

// providing returns the packages that provide a name.
func (ix *index) providing(name string) []*pkg {
	var all []*pkg
	for _, n := range ix.virtual[name] {
		if p := ix.pkg(n); p != nil {
			all = append(all, p)
		}
	}
	return all
}

// pkg parses one stanza; a broken one is no package.
func (ix *index) pkg(n int32) *pkg {
	if p, ok := ix.parsed[n]; ok {
		return p
	}
	p, err := parsePackage(string(ix.text[ix.entries[n].from:ix.entries[n].to]))
	if err != nil {
		p = nil
	} else {
		p.index = ix
	}
	ix.parsed[n] = p
	return p
}

// importances orders the Priority field.
var importances = []string{"required", "important", "standard", "optional", "extra"}

func parsePackage(text string) (*pkg, error) {
	stanzas, err := parseStanzas(text)
	if err != nil {
		return nil, err
	}
	if len(stanzas) != 1 {
		return nil, errors.New("not one stanza")
	}
	st := stanzas[0]
	p := &pkg{name: st["package"], version: st["version"], arch: st["architecture"], filename: st["filename"]}
	if !ValidName(p.name) || p.version == "" || p.filename == "" {
		return nil, fmt.Errorf("package %q lacks a field", p.name)
	}
	p.promise.sha256 = strings.ToLower(st["sha256"])
	if p.promise.size, err = strconv.ParseInt(st["size"], 10, 64); err != nil {
		return nil, fmt.Errorf("package %s: size: %w", p.name, err)
	}
	kib, _ := strconv.ParseInt(st["installed-size"], 10, 64)
	p.installed = kib << 10
	p.importance = len(importances)
	for i, w := range importances {
		if st["priority"] == w {
			p.importance = i
		}
	}
	for _, field := range []string{"pre-depends", "depends"} {
		more, err := parseDepends(st[field])
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", p.name, err)
		}
		p.depends = append(p.depends, more...)
	}
	provides, err := parseDepends(st["provides"])
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", p.name, err)
	}
	for _, alts := range provides {
		p.provides = append(p.provides, alts[0])
	}
	return p, nil
}
