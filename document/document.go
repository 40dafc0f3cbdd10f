// Package document reads what people write: YAML, strictly, with the place of
// every value, held against a JSON Schema. What is wrong is said with file,
// line, column and what is allowed there, all of it at once.
package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Document is one document of a YAML file as values of JSON. Only what JSON
// can say is read: no anchors and no tags.
type Document struct {
	File  string
	Value any // nil, bool, json.Number, string, []any, map[string]any

	values map[string]Position // by path
	keys   map[string]Position // of a key of a mapping, by the path of its value
	texts  map[string]string   // of numbers, text, true and false, by path
}

// Path names a value by the keys of mappings and the numbers, from 0, of
// entries of lists that lead to it; the empty one is the document.
type Path []string

// Below is a path that goes on from this one.
func (p Path) Below(steps ...string) Path { return slices.Concat(p, steps) }

func (p Path) key() string { return strings.Join(p, "\x00") }

// Label names a value before what is said of it, as in "versions[0].images: ";
// the document has none.
func (p Path) Label() string {
	var b strings.Builder
	for _, step := range p {
		switch {
		case step != "" && strings.Trim(step, "0123456789") == "":
			b.WriteString("[" + step + "]")
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + ": "
}

// MaxBytes is how much of a file is read: a larger one is a fault.
const MaxBytes = 256 << 10

const maxDepth = 64

// At is the place of the value at the path, or of the nearest thing around it.
func (d *Document) At(path ...string) Position {
	for n := len(path); n >= 0; n-- {
		if p, ok := d.values[Path(path[:n]).key()]; ok {
			return p
		}
	}
	return Position{}
}

// KeyAt is the place of the key whose value is at the path.
func (d *Document) KeyAt(path ...string) Position {
	if p, ok := d.keys[Path(path).key()]; ok {
		return p
	}
	return d.At(path...)
}

// Has says whether there is a value at the path.
func (d *Document) Has(path ...string) bool {
	_, ok := d.values[Path(path).key()]
	return ok
}

// Text is the number, text, true or false at the path as it was written, so
// that 1.10 stays what it is; empty if none is there.
func (d *Document) Text(path ...string) string { return d.texts[Path(path).key()] }

// Decode copies the document into a value as json.Unmarshal does; its shape
// should have been checked.
func (d *Document) Decode(into any) error {
	b, err := json.Marshal(d.Value)
	if err != nil {
		return fmt.Errorf("write %s as JSON: %w", d.File, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", d.File, err)
	}
	return nil
}

// Parse reads the documents of a file, without the empty ones; the name is
// what faults call the file. After reporting why it cannot, it returns nil.
func Parse(file string, text []byte, fs *Faults) (all []*Document) {
	defer func() {
		// The parser is not ours, and a panic of it must not end the computer.
		if p := recover(); p != nil {
			fs.Add(file, Position{}, "cannot be read as YAML: the parser gave up (%v)", p)
			all = nil
		}
	}()
	if len(text) > MaxBytes {
		fs.Add(file, Position{}, "has %d bytes: at most %d are read", len(text), MaxBytes)
		return nil
	}
	tokens := withoutEmpty(lexer.Tokenize(string(text)))
	if at, deep := tooDeep(tokens); deep {
		fs.Add(file, at, "is nested too deeply: at most %d levels are read", maxDepth)
		return nil
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		at, what := Position{}, err.Error()
		var e yaml.Error
		if errors.As(err, &e) {
			what = e.GetMessage()
			at = tokenPosition(e.GetToken())
		}
		fs.Add(file, at, "is not YAML: %s", what)
		return nil
	}
	before := fs.Len()
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		d := &Document{File: file, values: map[string]Position{}, keys: map[string]Position{}, texts: map[string]string{}}
		d.Value = d.convert(doc.Body, nil, fs)
		all = append(all, d)
	}
	if fs.Len() > before {
		return nil
	}
	return all
}

// withoutEmpty leaves out the comments and, of separators that follow each
// other, all but the last: the parser takes an empty document for the end of
// the file (github.com/goccy/go-yaml/issues/870).
func withoutEmpty(tokens token.Tokens) token.Tokens {
	var some token.Tokens
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if last := len(some) - 1; last >= 0 && t.Type == token.DocumentHeaderType && some[last].Type == t.Type {
			some = some[:last]
		}
		some = append(some, t)
	}
	return some
}

func tokenPosition(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{}
	}
	return Position{t.Position.Line, t.Position.Column}
}

// tooDeep finds nesting that would exhaust the parser's stack.
func tooDeep(tokens token.Tokens) (Position, bool) {
	flow, line, inLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			inLine++
		}
		indent := 0
		if t.Position != nil {
			indent = t.Position.IndentNum
		}
		if flow > maxDepth || (flow == 0 && inLine > maxDepth) || indent > 4*maxDepth {
			return tokenPosition(t), true
		}
	}
	return Position{}, false
}

func (d *Document) convert(n ast.Node, path Path, fs *Faults) any {
	if len(path) > maxDepth {
		fs.Add(d.File, nodePosition(n), "is nested too deeply: at most %d levels are read", maxDepth)
		return nil
	}
	d.values[path.key()] = nodePosition(n)
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return d.scalar(path, n.GetToken().Value, n.Value)
	case *ast.IntegerNode:
		return d.scalar(path, n.GetToken().Value, json.Number(fmt.Sprint(n.Value)))
	case *ast.FloatNode:
		return d.scalar(path, n.GetToken().Value, json.Number(strconv.FormatFloat(n.Value, 'g', -1, 64)))
	case *ast.StringNode:
		return d.scalar(path, n.Value, n.Value)
	case *ast.LiteralNode:
		return d.scalar(path, n.Value.Value, n.Value.Value)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for i, v := range n.Values {
			list = append(list, d.convert(v, path.Below(strconv.Itoa(i)), fs))
		}
		return list
	case *ast.MappingNode:
		return d.mapping(n.Values, path, fs)
	case *ast.MappingValueNode: // the library's form of a mapping with one key
		return d.mapping([]*ast.MappingValueNode{n}, path, fs)
	default:
		fs.Add(d.File, nodePosition(n), "uses %s: write plain mappings, lists, text, numbers, true and false", n.Type())
		return nil
	}
}

func (d *Document) scalar(path Path, text string, value any) any {
	d.texts[path.key()] = text
	return value
}

func (d *Document) mapping(entries []*ast.MappingValueNode, path Path, fs *Faults) any {
	m := make(map[string]any, len(entries))
	for _, e := range entries {
		var key string
		switch k := e.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
			key = k.GetToken().Value
		default:
			fs.Add(d.File, nodePosition(e), "has a key that is not plain text")
			continue
		}
		if _, twice := m[key]; twice {
			fs.Add(d.File, nodePosition(e.Key), "the key %q stands here a second time", key)
			continue
		}
		place := path.Below(key)
		d.keys[place.key()] = nodePosition(e.Key)
		m[key] = d.convert(e.Value, place, fs)
		if _, isMapping := m[key].(map[string]any); isMapping {
			// A mapping starts at its key, where a person looks for it.
			d.values[place.key()] = d.keys[place.key()]
		}
	}
	return m
}

func nodePosition(n ast.Node) Position {
	if n == nil {
		return Position{}
	}
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return nodePosition(m.Values[0])
	}
	if m, ok := n.(*ast.MappingValueNode); ok && m.Key != nil {
		return tokenPosition(m.Key.GetToken())
	}
	return tokenPosition(n.GetToken())
}
