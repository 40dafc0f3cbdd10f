package apt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// source is one repository of packages: a base address and a suite, as apt's
// sources name them.
type source struct {
	uri        string   // ends in a slash
	suite      string   // ends in a slash: a flat repository, which has no components
	components []string // in the order given
	archs      []string // empty: the machine's
	trusted    bool     // [trusted=yes]: no signature is asked for
	signedBy   []string // paths of keyrings, or fingerprints
	inlineKey  string   // an armored key given in the source itself
	noExpiry   bool     // check-valid-until=no
	noByHash   bool
	where      string // "sources.list.d/x.list:3", for messages
}

// flat says whether the suite is the path of the index itself.
func (s source) flat() bool { return strings.HasSuffix(s.suite, "/") }

// base is the directory of the release file, relative to the address.
func (s source) base() string {
	if !s.flat() {
		return "dists/" + s.suite + "/"
	}
	if p := strings.TrimPrefix(strings.TrimPrefix(s.suite, "."), "/"); p != "" {
		return p
	}
	return ""
}

// String names the source as a person wrote it, without any password.
func (s source) String() string {
	words := append([]string{redact(s.uri), s.suite}, s.components...)
	return strings.Join(words, " ")
}

// readSources reads etc/apt/sources.list and sources.list.d below root.
// Problems are lines that cannot be understood; apt would refuse to run, here
// the other sources are used.
func readSources(root, arch string) (sources []source, problems []error) {
	dir := filepath.Join(root, "etc/apt")
	files := []string{filepath.Join(dir, "sources.list")}
	entries, _ := os.ReadDir(filepath.Join(dir, "sources.list.d"))
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".list" || ext == ".sources" {
			files = append(files, filepath.Join(dir, "sources.list.d", e.Name()))
		}
	}
	sort.Strings(files[1:])
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			if !os.IsNotExist(err) {
				problems = append(problems, fmt.Errorf("read apt sources: %w", err))
			}
			continue
		}
		name, _ := filepath.Rel(dir, file)
		parse := parseSourcesList
		if filepath.Ext(file) == ".sources" {
			parse = parseSourcesFile
		}
		found, bad := parse(string(b), name)
		problems = append(problems, bad...)
		for _, s := range found {
			s.suite = strings.ReplaceAll(s.suite, "$(ARCH)", arch)
			if len(s.archs) == 0 || slices.Contains(s.archs, arch) {
				sources = merge(sources, s)
			}
		}
	}
	return sources, problems
}

// merge adds s, unless its repository is there already: then only its
// components are added.
func merge(all []source, s source) []source {
	for i := range all {
		if all[i].uri == s.uri && all[i].suite == s.suite {
			for _, c := range s.components {
				if !slices.Contains(all[i].components, c) {
					all[i].components = append(all[i].components, c)
				}
			}
			return all
		}
	}
	return append(all, s)
}

// parseSourcesList reads one-line sources:
// deb [option=value …] uri suite [component …].
func parseSourcesList(text, name string) (sources []source, problems []error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		where := fmt.Sprintf("%s:%d", name, number)
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		kind, rest := line, ""
		if i := strings.IndexAny(line, " \t["); i >= 0 {
			kind, rest = line[:i], strings.TrimSpace(line[i:])
		}
		if kind == "deb-src" {
			continue
		}
		if kind != "deb" {
			problems = append(problems, fmt.Errorf("%s: %q is no type of source", where, kind))
			continue
		}
		s, err := parseSourceLine(rest)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", where, err))
			continue
		}
		s.where = where
		sources = append(sources, s)
	}
	return sources, problems
}

func parseSourceLine(rest string) (source, error) {
	options := stanza{}
	if strings.HasPrefix(rest, "[") {
		inside, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return source{}, fmt.Errorf("the options have no end")
		}
		for _, word := range strings.Fields(inside) {
			k, v, ok := strings.Cut(word, "=")
			if !ok {
				return source{}, fmt.Errorf("option %q has no value", word)
			}
			options[strings.ToLower(k)] = strings.ReplaceAll(v, ",", " ")
		}
		rest = after
	}
	words := strings.Fields(rest)
	if len(words) < 2 {
		return source{}, fmt.Errorf("an address and a suite are needed")
	}
	s, err := newSource(words[0], words[1], words[2:])
	if err != nil {
		return s, err
	}
	s.archs = strings.Fields(options["arch"])
	s.signedBy = strings.Fields(options["signed-by"])
	s.setOptions(options)
	return s, nil
}

func newSource(uri, suite string, components []string) (source, error) {
	s := source{uri: strings.TrimRight(uri, "/") + "/", suite: suite, components: components}
	if !strings.Contains(uri, ":") {
		return s, fmt.Errorf("%q is no address", uri)
	}
	if s.flat() != (len(components) == 0) {
		return s, fmt.Errorf("suite %q needs components, or must end in a slash and have none", suite)
	}
	return s, nil
}

// setOptions reads the options that are spelled alike in both formats.
func (s *source) setOptions(o stanza) {
	s.trusted = isYes(o["trusted"])
	s.noExpiry = isNo(o["check-valid-until"])
	s.noByHash = isNo(o["by-hash"])
}

// parseSourcesFile reads a deb822 sources file. A broken one has no sources.
func parseSourcesFile(text, name string) (sources []source, problems []error) {
	stanzas, err := parseStanzas(text)
	if err != nil {
		return nil, []error{fmt.Errorf("%s: %w", name, err)}
	}
	for i, st := range stanzas {
		where := fmt.Sprintf("%s, stanza %d", name, i+1)
		if isNo(st["enabled"]) || !slices.Contains(strings.Fields(st["types"]), "deb") {
			continue
		}
		if st["uris"] == "" || st["suites"] == "" {
			problems = append(problems, fmt.Errorf("%s: URIs and Suites are needed", where))
			continue
		}
		for _, uri := range strings.Fields(st["uris"]) {
			for _, suite := range strings.Fields(st["suites"]) {
				s, err := newSource(uri, suite, strings.Fields(st["components"]))
				if err != nil {
					problems = append(problems, fmt.Errorf("%s: %w", where, err))
					continue
				}
				s.where = where
				s.archs = strings.Fields(st["architectures"])
				s.setOptions(st)
				if key := st["signed-by"]; strings.Contains(key, "-----BEGIN PGP") {
					s.inlineKey = unfold(key)
				} else {
					s.signedBy = strings.Fields(strings.ReplaceAll(key, ",", " "))
				}
				sources = append(sources, s)
			}
		}
	}
	return sources, problems
}

// unfold gives an inline key its empty lines back: in deb822 they are dots.
func unfold(key string) string {
	lines := strings.Split(strings.TrimSpace(key), "\n")
	for i, l := range lines {
		if l = strings.TrimSpace(l); l == "." {
			l = ""
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n") + "\n"
}
