package addon

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/document"
	"github.com/volvox-os/volvox/instance"
)

// build makes the addon of files that have been checked, and reports what
// shows only now: parameters and templates that do not work.
func (l *loader) build() *Addon {
	f := &l.addon
	a := &Addon{Name: f.Name, Title: f.Title, Description: strings.TrimSpace(f.Description), Components: map[string]*Component{}}
	for _, v := range f.Versions {
		a.Versions = append(a.Versions, Version{Name: v.Name, Default: v.Default, Images: v.Images})
	}
	for _, t := range f.Topologies {
		topology := Topology{Name: t.Name, Doc: strings.TrimSpace(t.Description)}
		for _, p := range t.Components {
			topology.Components = append(topology.Components, TopologyComponent{
				Name: p.Name, Component: p.Component, MinReplicas: p.Replicas.Min, MaxReplicas: p.Replicas.Max,
			})
		}
		a.Topologies = append(a.Topologies, topology)
	}
	if c := l.conformance; c != nil {
		a.Conformance = &Conformance{Component: c.Component, Prepare: c.Prepare, Write: c.Write, Read: c.Read, Count: c.Count}
	}
	scripts := l.scriptFiles()
	for _, name := range l.componentNames() {
		c := l.buildComponent(name)
		c.scripts = scripts
		before := l.faults.Len()
		c.Params = l.buildParams(name, c.Defaults)
		if l.faults.Len() == before {
			l.buildTemplates(a, c)
		}
		a.Components[name] = c
	}
	return a
}

func (l *loader) buildComponent(name string) *Component {
	f := l.components[name]
	c := &Component{
		Name: name, Image: f.Image, Command: f.Command, HA: f.HA, URL: f.URL, Client: Client(f.Client),
		Stop: instance.Stop{Signal: f.Stop.Signal, GraceSeconds: int(math.Ceil(time.Duration(f.Stop.Grace).Seconds()))},
		Defaults: Resources{
			CPUMillis: int64(math.Round(f.Defaults.CPU * 1000)), MemoryBytes: int64(f.Defaults.Memory), StorageBytes: int64(f.Defaults.Storage),
		},
		Actions: map[string]Action{}, templates: map[string]*template.Template{},
	}
	if c.Stop.GraceSeconds == 0 {
		c.Stop.GraceSeconds = 30
	}
	for _, p := range f.Ports {
		c.Ports = append(c.Ports, instance.Port{Name: p.Name, Port: p.Port})
	}
	for _, v := range f.Volumes {
		c.Volumes = append(c.Volumes, Volume{Name: v.Name, Path: v.Path})
	}
	for _, r := range f.Roles {
		c.Roles = append(c.Roles, Role{Name: r.Name, Writable: r.Writable})
	}
	for _, a := range f.Accounts {
		c.Accounts = append(c.Accounts, Account{Name: a.Name, User: a.User, Admin: a.Admin})
	}
	for _, g := range f.Configs {
		c.Configs = append(c.Configs, Config{Path: g.Path, Template: l.templates[g.Template]})
	}
	for action, s := range f.Actions {
		c.Actions[action] = Action{Name: action, In: s.In, Script: scriptPath(s.Script), Timeout: time.Duration(s.Timeout)}
	}
	return c
}

// buildParams makes the parameters of a component and computes each default
// for a member of the default size.
func (l *loader) buildParams(component string, size Resources) []Parameter {
	var all []Parameter
	d := l.paramDocs[component]
	for _, name := range slices.Sorted(maps.Keys(l.params[component])) {
		if p, ok := l.buildParam(d, name, l.params[component][name]); ok {
			all = append(all, p)
			v := Values{CPUMillis: size.CPUMillis, MemoryBytes: size.MemoryBytes, StorageBytes: size.StorageBytes, Replicas: 1}
			if _, err := p.computed(v); err != nil {
				l.faults.Add(d.File, d.At(name, "default"), "%s.default: %v", name, err)
			}
		}
	}
	return all
}

// buildParam makes one parameter; false after reporting what is wrong.
func (l *loader) buildParam(d *document.Document, name string, f parameterFile) (Parameter, bool) {
	before := l.faults.Len()
	p := Parameter{Name: name, Type: f.Type, Unit: f.Unit, Doc: strings.Join(strings.Fields(f.Doc), " "), Apply: f.Apply, AtMost: f.AtMost.CEL}
	l.checkKeywords(d, &p)
	schema := map[string]any{"type": f.Type}
	p.Allowed = p.kind()
	for key, raw := range map[string]json.RawMessage{"minimum": f.Minimum, "maximum": f.Maximum, "multipleOf": f.MultipleOf} {
		if raw == nil {
			continue
		}
		number, err := p.number(raw)
		if err != nil {
			l.faults.Add(d.File, d.At(name, key), "%s.%s: %v", name, key, err)
			continue
		}
		schema[key] = number
	}
	if f.Enum != nil {
		schema["enum"] = f.Enum
	}
	if f.Pattern != "" {
		schema["pattern"] = f.Pattern
	}
	if f.MinLength != nil {
		schema["minLength"] = *f.MinLength
	}
	if f.MaxLength != nil {
		schema["maxLength"] = *f.MaxLength
	}
	if l.faults.Len() > before {
		return p, false
	}
	var err error
	if p.Schema, err = json.Marshal(schema); err == nil {
		p.schema, err = document.Compile(name, p.Schema)
	}
	if err != nil {
		l.faults.Add(d.File, d.KeyAt(name), "%s: %v", name, err)
		return p, false
	}
	p.Allowed = p.allowed()
	l.buildExpressions(d, &p, f)
	return p, l.faults.Len() == before
}

// checkKeywords reports keys that mean nothing for the parameter's type.
func (l *loader) checkKeywords(d *document.Document, p *Parameter) {
	forTypes := map[string][]string{
		"unit": {"integer"}, "at_most": {"integer", "number"}, "minimum": {"integer", "number"}, "maximum": {"integer", "number"},
		"multipleOf": {"integer", "number"}, "pattern": {"string"}, "minLength": {"string"}, "maxLength": {"string"},
		"enum": {"string", "integer", "number"},
	}
	for _, key := range slices.Sorted(maps.Keys(forTypes)) {
		if d.Has(p.Name, key) && !slices.Contains(forTypes[key], p.Type) {
			l.faults.Add(d.File, d.KeyAt(p.Name, key), "%s.%s: is not for a parameter of type %s, only for %s", p.Name, key, p.Type, volvox.Either(forTypes[key]))
		}
	}
}

// number reads a bound, which may have a unit.
func (p *Parameter) number(raw json.RawMessage) (json.Number, error) {
	text := string(raw)
	if unquoted := ""; json.Unmarshal(raw, &unquoted) == nil {
		if p.Unit == "" {
			return "", errors.New("is text, must be a number")
		}
		text = unquoted
	}
	normal, err := p.normalize(text)
	return json.Number(normal), err
}

// buildExpressions compiles the default and the bound of a parameter.
func (l *loader) buildExpressions(d *document.Document, p *Parameter, f parameterFile) {
	var computed celFile
	at := document.Path{p.Name, "default"}
	if m, ok := d.Value.(map[string]any)[p.Name].(map[string]any)["default"].(map[string]any); ok {
		cel, isText := m["cel"].(string)
		if !isText || len(m) != 1 {
			l.faults.Add(d.File, d.At(at...), "%s.default: must be a value, or a mapping with the one key cel", p.Name)
			return
		}
		computed.CEL, at = cel, at.Below("cel")
		p.Default = cel
	} else if !l.literalDefault(d, p, f.Default) {
		return
	}
	var err error
	if p.def, err = compileExpression(p.Default, p.Type); err != nil {
		l.faults.Add(d.File, d.At(at...), "%s%v", at.Label(), err)
	}
	if p.AtMost != "" {
		if p.atMost, err = compileExpression(p.AtMost, p.Type); err != nil {
			l.faults.Add(d.File, d.At(p.Name, "at_most", "cel"), "%s.at_most.cel: %v", p.Name, err)
		}
	}
}

// literalDefault makes the expression of a default that is a plain value.
func (l *loader) literalDefault(d *document.Document, p *Parameter, raw json.RawMessage) bool {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		if err == nil {
			err = errors.New("is empty, must be " + p.Allowed)
		}
		l.faults.Add(d.File, d.At(p.Name, "default"), "%s.default: %v", p.Name, err)
		return false
	}
	text, isText := value.(string)
	if !isText {
		text = string(raw)
	}
	normal, err := p.normalize(text)
	if err == nil && isText != (p.Type == "string") && p.Unit == "" {
		err = errors.New("it must be " + p.Allowed)
	}
	if err == nil {
		err = p.validate(normal)
	}
	if err != nil {
		l.faults.Add(d.File, d.At(p.Name, "default"), "%s.default: cannot be %q: %v", p.Name, text, err)
		return false
	}
	p.Default = normal
	if p.Type == "string" {
		p.Default = strconv.Quote(normal)
	}
	return true
}

// kind is what a value of the parameter is, in words.
func (p *Parameter) kind() string {
	switch p.Unit {
	case "bytes":
		return "a size such as 64MB"
	case "ms":
		return "a duration such as 30s"
	default:
		return document.TypeInWords(p.Type)
	}
}

// allowed says in words what the schema allows.
func (p *Parameter) allowed() string {
	s := p.schema
	if s.Enum != nil {
		var words []string
		for _, v := range s.Enum.Values {
			words = append(words, toText(v))
		}
		return volvox.Either(words)
	}
	what := p.kind()
	if s.Minimum != nil {
		what += ", at least " + p.show(s.Minimum.RatString())
	}
	if s.Maximum != nil {
		what += ", at most " + p.show(s.Maximum.RatString())
	}
	if s.MultipleOf != nil {
		what += ", a multiple of " + p.show(s.MultipleOf.RatString())
	}
	if s.MinLength != nil {
		what += ", at least " + strconv.Itoa(*s.MinLength) + " characters"
	}
	if s.MaxLength != nil {
		what += ", at most " + strconv.Itoa(*s.MaxLength) + " characters"
	}
	if s.Pattern != nil {
		what += " that matches " + s.Pattern.String()
	}
	return what
}

func toText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// place finds the line and column in what text/template says of an error.
var place = regexp.MustCompile(`^template: [^:]*:(\d+)(?::(\d+))?: (.*)$`)

// buildTemplates makes the templates and tries each with the defaults.
func (l *loader) buildTemplates(a *Addon, c *Component) {
	v := Values{
		Cluster: "shop", Project: "main", Component: c.Name, Member: "shop-" + c.Name + "-0", Version: a.Versions[0].Name, Replicas: 1,
		CPUMillis: c.Defaults.CPUMillis, MemoryBytes: c.Defaults.MemoryBytes, StorageBytes: c.Defaults.StorageBytes,
	}
	params, err := c.Parameters(nil, v)
	if err != nil {
		l.faults.Add(l.paramDocs[c.Name].File, document.Position{}, "%v", err)
		return
	}
	v.Params = params
	for i, f := range l.components[c.Name].Configs {
		parsed, err := template.New(f.Template).Option("missingkey=error").Funcs(templateFuncs()).Parse(c.Configs[i].Template)
		if err == nil {
			c.templates[f.Path] = parsed
			err = parsed.Execute(&strings.Builder{}, v)
		}
		if err == nil {
			continue
		}
		at, what := document.Position{}, err.Error()
		if m := place.FindStringSubmatch(what); m != nil {
			at.Line, _ = strconv.Atoi(m[1])
			column, _ := strconv.Atoi(m[2])
			at.Column, what = column+1, m[3]
		}
		l.faults.Add("configs/"+f.Template, at, "%s", what)
	}
}
