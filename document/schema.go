package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/volvox-os/volvox"
)

// Schemas are JSON Schemas, by the names of their files. Faults use two words
// in them for people: description, what a value must be, and keys, how the
// keys of a mapping look whose keys are names.
type Schemas struct {
	schemas map[string]*jsonschema.Schema // by file name
	raw     map[string]any                // the same as JSON, by URL
}

// ReadSchemas reads the files schema/*.json; a package embeds them.
func ReadSchemas(files fs.FS) (*Schemas, error) {
	s := &Schemas{schemas: map[string]*jsonschema.Schema{}, raw: map[string]any{}}
	names, err := fs.Glob(files, "schema/*.json")
	if err != nil {
		return nil, fmt.Errorf("list the schemas: %w", err)
	}
	for _, file := range names {
		name := path.Base(file)
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("read the schema %s: %w", name, err)
		}
		if s.schemas[name], s.raw[schemaURL(name)], err = compile(name, text); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Compile makes one schema ready to check values; the name is for errors.
func Compile(name string, text []byte) (*jsonschema.Schema, error) {
	compiled, _, err := compile(name, text)
	return compiled, err
}

func compile(name string, text []byte) (*jsonschema.Schema, any, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, nil, fmt.Errorf("read the schema %s: %w", name, err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaURL(name), value); err != nil {
		return nil, nil, fmt.Errorf("add the schema %s: %w", name, err)
	}
	compiled, err := compiler.Compile(schemaURL(name))
	if err != nil {
		return nil, nil, fmt.Errorf("compile the schema %s: %w", name, err)
	}
	return compiled, value, nil
}

func schemaURL(name string) string { return "volvox:schema/" + name }

// subschema is what the schema says at a place, as JSON.
func (s *Schemas) subschema(url string) map[string]any {
	base, fragment, _ := strings.Cut(url, "#")
	value := s.raw[base]
	for step := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if m, ok := value.(map[string]any); ok && step != "" {
			value = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		}
	}
	m, _ := value.(map[string]any)
	return m
}

// Check reports where the document is not as the schema of that name says, and
// whether it is.
func (s *Schemas) Check(schema string, d *Document, fs *Faults) bool {
	err := s.schemas[schema].Validate(d.Value)
	if err == nil {
		return true
	}
	e, ok := err.(*jsonschema.ValidationError)
	if !ok {
		fs.Add(d.File, Position{}, "cannot be checked: %v", err)
		return false
	}
	s.report(e, d, fs)
	return false
}

// report turns the leaves of a validation error into faults.
func (s *Schemas) report(e *jsonschema.ValidationError, d *Document, fs *Faults) {
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			s.report(c, d, fs)
		}
		return
	}
	where := Path(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		object := s.subschema(e.SchemaURL)
		properties, _ := object["properties"].(map[string]any)
		allowed, verb := slices.Sorted(maps.Keys(properties)), "are"
		if len(allowed) == 1 {
			verb = "is"
		}
		for _, key := range k.Properties {
			// Of a mapping whose keys are names, the schema says how they look.
			if keys, ok := object["keys"].(string); ok {
				fs.Add(d.File, d.KeyAt(where.Below(key)...), "%q cannot be a key here: it must be %s", key, keys)
				continue
			}
			fs.Add(d.File, d.KeyAt(where.Below(key)...), "unknown key %q%s: allowed %s %s",
				key, volvox.Hint(key, allowed), verb, strings.Join(allowed, ", "))
		}
	case *kind.Required:
		for _, key := range k.Missing {
			fs.Add(d.File, d.At(where...), "%s%q is missing", where.Label(), key)
		}
	default:
		fs.Add(d.File, d.At(where...), "%s%s", where.Label(), s.say(e))
	}
}

// TypeInWords is a JSON type as a person calls it.
func TypeInWords(jsonType string) string {
	switch jsonType {
	case "string":
		return "text"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	case "null":
		return "empty"
	default:
		return jsonType
	}
}

// say is what one leaf of a validation error means.
func (s *Schemas) say(e *jsonschema.ValidationError) string {
	doc, hasDoc := s.subschema(e.SchemaURL)["description"].(string)
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		words := make([]string, len(k.Want))
		for i, w := range k.Want {
			words[i] = TypeInWords(w)
		}
		want := volvox.Either(words)
		if hasDoc && k.Got != "null" {
			want += ", " + doc
		}
		say := "is " + TypeInWords(k.Got) + ", must be " + want
		if k.Want[0] == "string" && (k.Got == "number" || k.Got == "boolean") {
			say += " (write it in quotes)"
		}
		return say
	case *kind.Enum:
		words := make([]string, len(k.Want))
		for i, w := range k.Want {
			words[i] = fmt.Sprint(w)
		}
		got := fmt.Sprint(k.Got)
		return fmt.Sprintf("%q is not allowed%s: must be %s", got, volvox.Hint(got, words), volvox.Either(words))
	case *kind.Const:
		say := fmt.Sprintf("is %s, must be %v", jsonText(k.Got), k.Want)
		if hasDoc {
			say += ", " + doc
		}
		return say
	case *kind.Pattern:
		if hasDoc {
			return fmt.Sprintf("%q is not allowed: must be %s", k.Got, doc)
		}
		return fmt.Sprintf("%q is not allowed: must match %s", k.Got, k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("has %d characters, must have at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %d characters, must have at most %d", k.Got, k.Want)
	case *kind.Minimum:
		return "is " + decimal(k.Got) + ", must be at least " + decimal(k.Want)
	case *kind.Maximum:
		return "is " + decimal(k.Got) + ", must be at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "is " + decimal(k.Got) + ", must be more than " + decimal(k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d entries, must have at least %d", k.Got, k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("has %d keys, must have at least %d", k.Got, k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("entries %d and %d are the same", k.Duplicates[0], k.Duplicates[1])
	case *kind.Format:
		return fmt.Sprintf("%q is not a %s: %v", fmt.Sprint(k.Got), k.Want, k.Err)
	default:
		return e.Error()
	}
}

// decimal writes a number as a person does.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// jsonText writes a value as a file has it.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
