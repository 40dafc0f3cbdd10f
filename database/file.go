package database

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/volvox-os/volvox"
)

// maxFile bounds a file of wishes.
const maxFile = 256 << 10

// fileFormat is the format of files that this version reads.
const fileFormat = "1"

// fileKeys are the keys of a document.
var fileKeys = []string{"format", "kind", "project", "name", "engine", "version", "topology", "replicas", "cpu", "memory", "storage", "params"}

// ParseFile reads wishes from YAML: one document for each database, as in
//
//	format: 1
//	kind: cluster
//	name: shop
//	engine: ENGINE
//	replicas: 2
//	memory: 1Gi
//	params:
//	  max_connections: 200
//
// It is strict: whatever is not known, not of the right type or there twice
// is E_BAD_FILE, with the file, the line and what is allowed there. The name
// is what errors call the file.
func ParseFile(name string, text []byte) ([]Wish, error) {
	f := file{name: name}
	if len(text) > maxFile {
		return nil, f.fault(nil, "the file is larger than %s", volvox.FormatBytes(maxFile))
	}
	tree, err := f.parse(text)
	if err != nil {
		return nil, err
	}
	var wishes []Wish
	lines := map[string]int{}
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		w, at, err := f.wish(doc.Body)
		if err != nil {
			return nil, err
		}
		key := w.Project + "/" + w.Name
		if first := lines[key]; first > 0 {
			return nil, f.fault(at, "database %s is there twice, first on line %d", w.Name, first)
		}
		lines[key] = at.Position.Line
		wishes = append(wishes, w)
	}
	if len(wishes) == 0 {
		return nil, f.fault(nil, "the file wishes for nothing; a document has the keys %s", strings.Join(fileKeys, ", "))
	}
	return wishes, nil
}

type file struct{ name string }

// fault is an error about a place in the file.
func (f file) fault(at *token.Token, format string, args ...any) error {
	where := f.name
	if at != nil && at.Position != nil {
		where = fmt.Sprintf("%s:%d:%d", f.name, at.Position.Line, at.Position.Column)
	}
	return volvox.Errorf(volvox.BadFile, "%s cannot be applied", f.name).
		Because("%s: %s", where, fmt.Sprintf(format, args...)).
		WithTry("mend the file, then look at what it would do: volvox apply --plan -f %s", f.name)
}

// parse reads YAML. The library is kept from nesting that it takes long for,
// and a panic in it is an error of the file.
func (f file) parse(text []byte) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, f.fault(nil, "this cannot be read as YAML: %v", p)
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if at := tooDeep(tokens); at != nil {
		return nil, f.fault(at, "this is nested too deeply")
	}
	tree, err = parser.Parse(tokens, 0)
	var bad yaml.Error
	switch {
	case err == nil:
		return tree, nil
	case errors.As(err, &bad):
		return nil, f.fault(bad.GetToken(), "this is not YAML: %s", bad.GetMessage())
	default:
		return nil, f.fault(nil, "this is not YAML: %v", err)
	}
}

// tooDeep returns the first token that is nested deeper than any file needs.
func tooDeep(tokens token.Tokens) *token.Token {
	const deepest = 32
	line, here, flow := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, here = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			here++
		}
		if flow > deepest || t.Position.IndentNum > 4*deepest || (flow == 0 && here > deepest) {
			return t
		}
	}
	return nil
}

// wish reads one document and returns the place of its name.
func (f file) wish(body ast.Node) (Wish, *token.Token, error) {
	var w Wish
	at := body.GetToken()
	values, err := f.mapping(body, "a document")
	if err != nil {
		return w, nil, err
	}
	seen := map[string]bool{}
	for _, kv := range values {
		key := kv.Key.GetToken().Value
		if seen[key] {
			return w, nil, f.fault(kv.Key.GetToken(), "%s is there twice", key)
		}
		seen[key] = true
		if key == "name" {
			at = kv.Value.GetToken()
		}
		if err := f.set(&w, key, kv); err != nil {
			return w, nil, err
		}
	}
	for _, key := range []string{"format", "kind", "name", "engine"} {
		if !seen[key] {
			return w, nil, f.fault(body.GetToken(), "%s is missing", example(key))
		}
	}
	return w, at, nil
}

func example(key string) string {
	switch key {
	case "format":
		return "format: " + fileFormat
	case "kind":
		return "kind: cluster"
	default:
		return "the key " + key
	}
}

// set reads the value of one key.
func (f file) set(w *Wish, key string, kv *ast.MappingValueNode) error {
	if key == "params" {
		return f.params(w, kv.Value)
	}
	if !slices.Contains(fileKeys, key) {
		hint := ""
		if near := volvox.Closest(key, fileKeys); near != "" {
			hint = " (did you mean " + near + "?)"
		}
		return f.fault(kv.Key.GetToken(), "there is no key %q%s; allowed are %s", key, hint, strings.Join(fileKeys, ", "))
	}
	text, err := f.scalar(kv, key)
	if err != nil {
		return err
	}
	at := kv.Value.GetToken()
	switch key {
	case "format":
		if text != fileFormat {
			return f.fault(at, "format %s is not known; this version of Volvox reads format %s", text, fileFormat)
		}
	case "kind":
		if text != "cluster" {
			return f.fault(at, "kind %s is not known; allowed is cluster", text)
		}
	case "replicas":
		n, ok := kv.Value.(*ast.IntegerNode)
		if _, err := fmt.Sscan(text, &w.Replicas); !ok || err != nil || n == nil || w.Replicas < 1 || w.Replicas > mostReplicas {
			return f.fault(at, "replicas is a whole number from 1 to %d, not %s", mostReplicas, text)
		}
	case "cpu":
		w.CPUMillis, err = volvox.ParseCPU(text)
	case "memory":
		w.MemoryBytes, err = volvox.ParseBytes(text)
	case "storage":
		w.StorageBytes, err = volvox.ParseBytes(text)
	default:
		*map[string]*string{"project": &w.Project, "name": &w.Name, "engine": &w.Engine, "version": &w.Version, "topology": &w.Topology}[key] = text
	}
	if key == "name" || key == "project" {
		err = volvox.CheckName(map[string]string{"name": "database", "project": "project"}[key], text)
	}
	if err != nil {
		return f.fault(at, "%s: %v", key, err)
	}
	return nil
}

func (f file) params(w *Wish, value ast.Node) error {
	values, err := f.mapping(value, "params")
	if err != nil {
		return err
	}
	w.Params = map[string]string{}
	for _, kv := range values {
		key := kv.Key.GetToken().Value
		if _, twice := w.Params[key]; twice {
			return f.fault(kv.Key.GetToken(), "parameter %s is there twice", key)
		}
		if w.Params[key], err = f.scalar(kv, key); err != nil {
			return err
		}
	}
	return nil
}

// mapping returns the keys and values of a node.
func (f file) mapping(n ast.Node, what string) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode: // the library's form of a mapping with one key
		return []*ast.MappingValueNode{n}, nil
	default:
		return nil, f.fault(n.GetToken(), "%s is a list of keys and values, not %s", what, strings.ToLower(n.Type().YAMLName()))
	}
}

// scalar returns the text of a value as it was written: 200, "on" and 1Gi are
// what they say.
func (f file) scalar(kv *ast.MappingValueNode, key string) (string, error) {
	switch n := kv.Value.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", f.fault(kv.Key.GetToken(), "%s has no value", key)
	default:
		return "", f.fault(n.GetToken(), "the value of %s is one word or number, not %s", key, strings.ToLower(n.Type().YAMLName()))
	}
}
