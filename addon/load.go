package addon

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/document"
	"github.com/volvox-os/volvox/instance"
)

// Load reads the addon in the root of dir. Errors have code E_BAD_FILE, hold
// every [document.Fault] found, and name file, line and what is allowed there.
func Load(dir fs.FS) (*Addon, error) { return load(dir, "") }

// LoadAll reads every directory of root as an addon, in the order of their
// names. If some cannot be used, it returns the others with one error for
// each that cannot, joined.
func LoadAll(root fs.FS) ([]*Addon, error) {
	entries, err := fs.ReadDir(root, ".")
	if err != nil {
		return nil, fmt.Errorf("list the addons: %w", err)
	}
	var all []*Addon
	var bad []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		dir, err := fs.Sub(root, e.Name())
		if err != nil {
			return nil, fmt.Errorf("open the addon %s: %w", e.Name(), err)
		}
		a, err := load(dir, e.Name())
		if err != nil {
			bad = append(bad, err)
			continue
		}
		all = append(all, a)
	}
	return all, errors.Join(bad...)
}

//go:embed schema/*.json
var schemaFiles embed.FS

// readSchemas reads the JSON Schemas of the files of an addon.
var readSchemas = sync.OnceValues(func() (*document.Schemas, error) { return document.ReadSchemas(schemaFiles) })

// loader reads one addon and collects what is wrong in it.
type loader struct {
	dir     fs.FS
	folder  string // its name; empty when it is not known
	faults  document.Faults
	schemas *document.Schemas

	addon       addonFile
	addonDoc    *document.Document
	components  map[string]*componentFile
	docs        map[string]*document.Document // of components, by component
	params      map[string]map[string]parameterFile
	paramDocs   map[string]*document.Document
	conformance *conformanceFile
	confDoc     *document.Document
	scripts     map[string]string // by file name
	templates   map[string]string // by file name
}

func load(dir fs.FS, folder string) (*Addon, error) {
	schemas, err := readSchemas()
	if err != nil {
		return nil, err
	}
	l := &loader{
		dir: dir, folder: folder, schemas: schemas,
		components: map[string]*componentFile{}, docs: map[string]*document.Document{},
		params: map[string]map[string]parameterFile{}, paramDocs: map[string]*document.Document{},
		scripts: map[string]string{}, templates: map[string]string{},
	}
	name := folder
	if name == "" {
		name = "in this directory"
	}
	if err := l.read(); err != nil {
		return nil, volvox.Errorf(volvox.BadFile, "the addon %s cannot be read", name).From(err).About(volvox.Ref{Kind: "addon", Name: name})
	}
	// References can be followed only between files that have their shape.
	shapely := l.faults.Len() == 0
	if shapely {
		l.checkAddon()
		for _, c := range l.componentNames() {
			l.checkComponent(c)
		}
		l.checkConformance()
	}
	var a *Addon
	if shapely {
		a = l.build()
	}
	if err := l.faults.Err(); err != nil {
		count := "one fault"
		if n := l.faults.Len(); n > 1 {
			count = fmt.Sprintf("%d faults", n)
		}
		return nil, volvox.Errorf(volvox.BadFile, "the addon %s has %s", name, count).
			From(err).About(volvox.Ref{Kind: "addon", Name: name}).WithTry("mend the lines named; docs/reference/addon.md describes every key")
	}
	return a, nil
}

// read reads all files and checks each by itself.
func (l *loader) read() error {
	l.addonDoc = l.document("addon.yaml", "addon.json", &l.addon, true)
	conformance := &conformanceFile{}
	if l.confDoc = l.document("conformance.yaml", "conformance.json", conformance, false); l.confDoc != nil {
		l.conformance = conformance
	}
	root, err := fs.ReadDir(l.dir, ".")
	if err != nil {
		return err
	}
	folders := []string{"components", "configs", "params", "scripts"}
	for _, e := range root {
		switch {
		case !e.IsDir() && (e.Name() == "addon.yaml" || e.Name() == "conformance.yaml" || strings.HasSuffix(e.Name(), ".md")):
		case e.IsDir() && slices.Contains(folders, e.Name()):
			if err := l.readFolder(e.Name()); err != nil {
				return err
			}
		default:
			known := append([]string{"addon.yaml", "conformance.yaml", "README.md"}, folders...)
			l.faults.Add(e.Name(), document.Position{}, "is not part of an addon%s: allowed are %s", volvox.Hint(e.Name(), known), strings.Join(known, ", "))
		}
	}
	if len(l.components) == 0 && l.faults.Len() == 0 {
		l.faults.Add("components", document.Position{}, "holds no component: there must be at least one file NAME.yaml")
	}
	return nil
}

func (l *loader) readFolder(folder string) error {
	entries, err := fs.ReadDir(l.dir, folder)
	if err != nil {
		return err
	}
	suffix := map[string]string{"components": ".yaml", "params": ".yaml", "scripts": ".sh", "configs": ".tmpl"}[folder]
	for _, e := range entries {
		file := path.Join(folder, e.Name())
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if e.IsDir() || !ok || name == "" {
			l.faults.Add(file, document.Position{}, "is not allowed here: %s holds files NAME%s only", folder, suffix)
			continue
		}
		switch folder {
		case "components":
			c := &componentFile{}
			if d := l.document(file, "component.json", c, true); d != nil {
				l.components[name], l.docs[name] = c, d
			}
		case "params":
			p := map[string]parameterFile{}
			if d := l.document(file, "params.json", &p, true); d != nil {
				l.params[name], l.paramDocs[name] = p, d
			}
		default:
			text, err := fs.ReadFile(l.dir, file)
			if err != nil {
				return err
			}
			l.readText(folder, file, e.Name(), string(text))
		}
	}
	return nil
}

func (l *loader) readText(folder, file, name, text string) {
	if len(text) > document.MaxBytes {
		l.faults.Add(file, document.Position{}, "has %d bytes: at most %d are read", len(text), document.MaxBytes)
		return
	}
	if folder == "configs" {
		l.templates[name] = text
		return
	}
	if !strings.HasPrefix(text, "#!/bin/sh\n") {
		l.faults.Add(file, document.Position{Line: 1, Column: 1}, "must start with the line #!/bin/sh: scripts are POSIX sh")
	}
	l.scripts[name] = text
}

// document reads a YAML file of the shape that the schema says; nil after
// reporting what is wrong, or when a file that need not be there is not.
func (l *loader) document(file, schema string, into any, must bool) *document.Document {
	before := l.faults.Len()
	text, err := fs.ReadFile(l.dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		if must {
			l.faults.Add(file, document.Position{}, "is missing")
		}
		return nil
	}
	if err != nil {
		l.faults.Add(file, document.Position{}, "cannot be read: %v", err)
		return nil
	}
	all := document.Parse(file, text, &l.faults)
	switch {
	case len(all) > 1:
		l.faults.Add(file, all[1].At(), "a second YAML document begins here: one is allowed")
	case len(all) == 0 && l.faults.Len() == before:
		l.faults.Add(file, document.Position{}, "is empty, must be a mapping")
	}
	if l.faults.Len() > before || !l.schemas.Check(schema, all[0], &l.faults) {
		return nil
	}
	if err := all[0].Decode(into); err != nil {
		l.faults.Add(file, document.Position{}, "cannot be used: %v", err)
		return nil
	}
	return all[0]
}

// scriptFiles are the scripts as files of every member.
func (l *loader) scriptFiles() []instance.File {
	var files []instance.File
	for name, text := range l.scripts {
		files = append(files, instance.File{Path: scriptPath(name), Mode: 0o555, Content: text})
	}
	slices.SortFunc(files, func(a, b instance.File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

func scriptPath(name string) string { return "/scripts/" + name }
