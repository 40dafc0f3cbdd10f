package addon

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

//go:embed schema/*.json
var schemaFiles embed.FS

// formats are the JSON Schemas of the files of an addon.
type formats struct {
	schemas map[string]*jsonschema.Schema // by file name
	raw     map[string]any                // the same as JSON, by URL
}

var readFormats = sync.OnceValues(func() (*formats, error) {
	f := &formats{schemas: map[string]*jsonschema.Schema{}, raw: map[string]any{}}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	entries, err := schemaFiles.ReadDir("schema")
	if err != nil {
		return nil, fmt.Errorf("list the schemas: %w", err)
	}
	for _, e := range entries {
		text, err := schemaFiles.Open(path.Join("schema", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("open schema %s: %w", e.Name(), err)
		}
		value, err := jsonschema.UnmarshalJSON(text)
		text.Close()
		if err != nil {
			return nil, fmt.Errorf("read schema %s: %w", e.Name(), err)
		}
		url := schemaURL(e.Name())
		if err := compiler.AddResource(url, value); err != nil {
			return nil, fmt.Errorf("add schema %s: %w", e.Name(), err)
		}
		f.raw[url] = value
		f.schemas[e.Name()], err = compiler.Compile(url)
		if err != nil {
			return nil, fmt.Errorf("compile schema %s: %w", e.Name(), err)
		}
	}
	return f, nil
})

func schemaURL(name string) string { return "volvox:addon/" + name }

// subschema is what the schema says at a place, as JSON.
func (f *formats) subschema(url string) map[string]any {
	base, fragment, _ := strings.Cut(url, "#")
	value := f.raw[base]
	for step := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if m, ok := value.(map[string]any); ok && step != "" {
			value = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		}
	}
	m, _ := value.(map[string]any)
	return m
}

// check reports where the document is not as the schema of that name says.
func (f *formats) check(schema string, d *document, fs *faults) bool {
	err := f.schemas[schema].Validate(d.value)
	if err == nil {
		return true
	}
	e, ok := err.(*jsonschema.ValidationError)
	if !ok {
		fs.add(d.file, position{}, "cannot be checked: %v", err)
		return false
	}
	f.report(e, d, fs)
	return false
}

// report turns the leaves of a validation error into faults.
func (f *formats) report(e *jsonschema.ValidationError, d *document, fs *faults) {
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			f.report(c, d, fs)
		}
		return
	}
	where := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		object := f.subschema(e.SchemaURL)
		properties, _ := object["properties"].(map[string]any)
		allowed := slices.Sorted(maps.Keys(properties))
		for _, key := range k.Properties {
			// Of a mapping whose keys are names, the schema says how they look.
			if keys, ok := object["keys"].(string); ok {
				fs.add(d.file, d.keyAt(extend(where, key)...), "%q cannot be a key here: it must be %s", key, keys)
				continue
			}
			fs.add(d.file, d.keyAt(extend(where, key)...), "unknown key %q%s: allowed %s %s",
				key, nearest(key, allowed), isOrAre(allowed), strings.Join(allowed, ", "))
		}
	case *kind.Required:
		for _, key := range k.Missing {
			fs.add(d.file, d.at(where...), "%s%q is missing", label(where), key)
		}
	default:
		fs.add(d.file, d.at(where...), "%s%s", label(where), f.say(e))
	}
}

// label names a value by its path, as in "versions[0].images: ".
func label(where []string) string {
	var b strings.Builder
	for _, step := range where {
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

// kindWord is a JSON type as a person calls it.
func kindWord(jsonType string) string {
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
func (f *formats) say(e *jsonschema.ValidationError) string {
	doc, hasDoc := f.subschema(e.SchemaURL)["description"].(string)
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		want := kindWord(k.Want[0])
		if hasDoc && k.Got != "null" {
			want += ", " + doc
		}
		say := "is " + kindWord(k.Got) + ", must be " + want
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
		return fmt.Sprintf("%q is not allowed%s: must be %s", got, nearest(got, words), either(words))
	case *kind.Const:
		return fmt.Sprintf("is %v, must be %v", k.Got, k.Want)
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

// compileValue makes the schema of one parameter ready.
func compileValue(name string, schema []byte) (*jsonschema.Schema, error) {
	var value any
	if err := json.Unmarshal(schema, &value); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", name, err)
	}
	compiler := jsonschema.NewCompiler()
	url := "volvox:parameter/" + name
	if err := compiler.AddResource(url, value); err != nil {
		return nil, fmt.Errorf("add the schema of %s: %w", name, err)
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		return nil, fmt.Errorf("compile the schema of %s: %w", name, err)
	}
	return compiled, nil
}
