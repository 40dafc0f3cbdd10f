package addon

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// position is a place in a file; the zero one is the file as a whole.
type position struct{ line, column int }

// document is a YAML file as values of JSON, with the place of each of them.
// Only what JSON can say is read: no anchors, no tags, one document a file.
type document struct {
	file   string
	value  any                 // nil, bool, json.Number, string, []any, map[string]any
	values map[string]position // by path
	keys   map[string]position // of a key of a mapping, by the path of its value
}

const (
	maxFileBytes = 256 << 10
	maxDepth     = 64
)

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// at is the place of the value at the path, or of the nearest thing around it.
func (d *document) at(path ...string) position {
	for n := len(path); n >= 0; n-- {
		if p, ok := d.values[pathKey(path[:n])]; ok {
			return p
		}
	}
	return position{}
}

// keyAt is the place of the key whose value is at the path.
func (d *document) keyAt(path ...string) position {
	if p, ok := d.keys[pathKey(path)]; ok {
		return p
	}
	return d.at(path...)
}

// has says whether the file has a value there.
func (d *document) has(path ...string) bool {
	_, ok := d.values[pathKey(path)]
	return ok
}

// parseDocument reads YAML; it returns nil after reporting why it cannot.
func parseDocument(file string, text []byte, fs *faults) (d *document) {
	defer func() {
		// The parser is not ours, and a panic of it must not end the computer.
		if p := recover(); p != nil {
			fs.add(file, position{}, "cannot be read as YAML: the parser gave up (%v)", p)
			d = nil
		}
	}()
	if len(text) > maxFileBytes {
		fs.add(file, position{}, "has %d bytes: at most %d are read", len(text), maxFileBytes)
		return nil
	}
	tokens := lexer.Tokenize(string(text))
	if at, deep := tooDeep(tokens); deep {
		fs.add(file, at, "is nested too deeply: at most %d levels are read", maxDepth)
		return nil
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		at, what := position{}, err.Error()
		var e yaml.Error
		if errors.As(err, &e) {
			what = e.GetMessage()
			at = tokenPosition(e.GetToken())
		}
		fs.add(file, at, "is not YAML: %s", what)
		return nil
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		fs.add(file, position{}, "is empty, must be a mapping")
		return nil
	}
	if len(tree.Docs) > 1 {
		fs.add(file, nodePosition(tree.Docs[1].Body), "a second YAML document begins here: one is allowed")
		return nil
	}
	d = &document{file: file, values: map[string]position{}, keys: map[string]position{}}
	before := len(fs.list)
	d.value = d.convert(tree.Docs[0].Body, nil, fs)
	if len(fs.list) > before {
		return nil
	}
	return d
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// tooDeep finds nesting that would exhaust the parser's stack.
func tooDeep(tokens token.Tokens) (position, bool) {
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
	return position{}, false
}

func (d *document) convert(n ast.Node, path []string, fs *faults) any {
	if len(path) > maxDepth {
		fs.add(d.file, nodePosition(n), "is nested too deeply: at most %d levels are read", maxDepth)
		return nil
	}
	d.values[pathKey(path)] = nodePosition(n)
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return json.Number(fmt.Sprint(n.Value))
	case *ast.FloatNode:
		return json.Number(strconv.FormatFloat(n.Value, 'g', -1, 64))
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for i, v := range n.Values {
			list = append(list, d.convert(v, extend(path, strconv.Itoa(i)), fs))
		}
		return list
	case *ast.MappingNode:
		return d.convertMapping(n.Values, path, fs)
	case *ast.MappingValueNode:
		return d.convertMapping([]*ast.MappingValueNode{n}, path, fs)
	default:
		fs.add(d.file, nodePosition(n), "uses %s: write plain mappings, lists, text, numbers, true and false", n.Type())
		return nil
	}
}

func (d *document) convertMapping(entries []*ast.MappingValueNode, path []string, fs *faults) any {
	m := make(map[string]any, len(entries))
	for _, e := range entries {
		var key string
		switch k := e.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
			key = k.GetToken().Value
		default:
			fs.add(d.file, nodePosition(e), "has a key that is not plain text")
			continue
		}
		below := extend(path, key)
		if _, twice := m[key]; twice {
			fs.add(d.file, nodePosition(e.Key), "the key %q stands here a second time", key)
			continue
		}
		d.keys[pathKey(below)] = nodePosition(e.Key)
		m[key] = d.convert(e.Value, below, fs)
		if _, isMapping := m[key].(map[string]any); isMapping {
			// A mapping starts at its key, where a person looks for it.
			d.values[pathKey(below)] = d.keys[pathKey(below)]
		}
	}
	return m
}

func nodePosition(n ast.Node) position {
	if n == nil {
		return position{}
	}
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return nodePosition(m.Values[0])
	}
	if m, ok := n.(*ast.MappingValueNode); ok && m.Key != nil {
		return tokenPosition(m.Key.GetToken())
	}
	return tokenPosition(n.GetToken())
}

func extend(path []string, more ...string) []string {
	return append(append(make([]string, 0, len(path)+len(more)), path...), more...)
}

// decode copies the document into a value; its shape has been checked.
func (d *document) decode(into any) error {
	b, err := json.Marshal(d.value)
	if err != nil {
		return fmt.Errorf("write %s as JSON: %w", d.file, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", d.file, err)
	}
	return nil
}
