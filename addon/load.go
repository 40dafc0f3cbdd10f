package addon

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/volvox-os/volvox/instance"
)

// Load reads the addon in the root of dir. Errors have code E_BAD_FILE, hold
// every [Fault] found, and name file, line and what is allowed there.
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

// loader reads one addon and collects what is wrong in it.
type loader struct {
	dir     fs.FS
	folder  string // its name; empty when it is not known
	faults  faults
	formats *formats

	addon       addonFile
	addonDoc    *document
	components  map[string]*componentFile
	docs        map[string]*document // of components, by component
	params      map[string]map[string]parameterFile
	paramDocs   map[string]*document
	conformance *conformanceFile
	confDoc     *document
	scripts     map[string]string // by file name
	templates   map[string]string // by file name
}

func load(dir fs.FS, folder string) (*Addon, error) {
	f, err := readFormats()
	if err != nil {
		return nil, err
	}
	l := &loader{
		dir: dir, folder: folder, formats: f,
		components: map[string]*componentFile{}, docs: map[string]*document{},
		params: map[string]map[string]parameterFile{}, paramDocs: map[string]*document{},
		scripts: map[string]string{}, templates: map[string]string{},
	}
	name := folder
	if name == "" {
		name = "in this directory"
	}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("read the addon %s: %w", name, err)
	}
	// References can be followed only between files that have their shape.
	shapely := len(l.faults.list) == 0
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
	if err := l.faults.err(name); err != nil {
		return nil, err
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
			l.faults.add(e.Name(), position{}, "is not part of an addon%s: allowed are %s", nearest(e.Name(), known), strings.Join(known, ", "))
		}
	}
	if len(l.components) == 0 && len(l.faults.list) == 0 {
		l.faults.add("components", position{}, "holds no component: there must be at least one file NAME.yaml")
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
			l.faults.add(file, position{}, "is not allowed here: %s holds files NAME%s only", folder, suffix)
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
	if len(text) > maxFileBytes {
		l.faults.add(file, position{}, "has %d bytes: at most %d are read", len(text), maxFileBytes)
		return
	}
	if folder == "configs" {
		l.templates[name] = text
		return
	}
	if !strings.HasPrefix(text, "#!/bin/sh\n") {
		l.faults.add(file, position{1, 1}, "must start with the line #!/bin/sh: scripts are POSIX sh")
	}
	l.scripts[name] = text
}

// document reads a YAML file of the shape that the schema says; nil after
// reporting what is wrong, or when a file that need not be there is not.
func (l *loader) document(file, schema string, into any, must bool) *document {
	text, err := fs.ReadFile(l.dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		if must {
			l.faults.add(file, position{}, "is missing")
		}
		return nil
	}
	if err != nil {
		l.faults.add(file, position{}, "cannot be read: %v", err)
		return nil
	}
	d := parseDocument(file, text, &l.faults)
	if d == nil || !l.formats.check(schema, d, &l.faults) {
		return nil
	}
	if err := d.decode(into); err != nil {
		l.faults.add(file, position{}, "cannot be used: %v", err)
		return nil
	}
	return d
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
