package database

import (
	"embed"
	"encoding/json"
	"sync"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/document"
)

//go:embed schema/cluster.json
var schemaFiles embed.FS

var readSchemas = sync.OnceValues(func() (*document.Schemas, error) { return document.ReadSchemas(schemaFiles) })

// ParseFile reads wishes from YAML: one document for each database, as in
//
//	format: 1           # may be left out, as kind may
//	kind: cluster
//	name: shop
//	engine: ENGINE
//	replicas: 2
//	memory: 1Gi
//	params:
//	  max_connections: 200
//
// The keys are those of schema/cluster.json. It is strict: whatever is not
// known, not of the right type or there twice is E_BAD_FILE, which holds every
// [document.Fault]: the file, the line and what is allowed there. The name is
// what errors call the file.
func ParseFile(name string, text []byte) ([]Wish, error) {
	schemas, err := readSchemas()
	if err != nil {
		return nil, err
	}
	var faults document.Faults
	var wishes []Wish
	lines := map[string]int{}
	for _, d := range document.Parse(name, text, &faults) {
		if !schemas.Check("cluster.json", d, &faults) {
			continue
		}
		w := readWish(d, &faults)
		key, at := w.Project+"/"+w.Name, d.At("name")
		if first := lines[key]; first > 0 {
			faults.Add(name, at, "database %s is there twice, first on line %d", w.Name, first)
		}
		lines[key] = at.Line
		wishes = append(wishes, w)
	}
	if len(wishes) == 0 && faults.Len() == 0 {
		faults.Add(name, document.Position{}, "wishes for nothing: a document has the keys name and engine at least")
	}
	if err := faults.Err(); err != nil {
		return nil, volvox.Errorf(volvox.BadFile, "%s cannot be applied", name).From(err).
			WithTry("mend the file, then look at what it would do: volvox apply --plan -f %s", name)
	}
	return wishes, nil
}

// readWish reads one document of the right shape. Numbers are what was
// written: the version 1.10 is not 1.1.
func readWish(d *document.Document, faults *document.Faults) Wish {
	w := Wish{Project: d.Text("project"), Name: d.Text("name"), Engine: d.Text("engine"), Version: d.Text("version"), Topology: d.Text("topology")}
	for key, read := range map[string]func(text string) error{
		"name":    func(text string) error { return volvox.CheckName("database", text) },
		"project": func(text string) error { return volvox.CheckName("project", text) },
		"cpu":     func(text string) (err error) { w.CPUMillis, err = volvox.ParseCPU(text); return err },
		"memory":  func(text string) (err error) { w.MemoryBytes, err = volvox.ParseBytes(text); return err },
		"storage": func(text string) (err error) { w.StorageBytes, err = volvox.ParseBytes(text); return err },
	} {
		if !d.Has(key) {
			continue
		}
		if err := read(d.Text(key)); err != nil {
			faults.Add(d.File, d.At(key), "%s: %v", key, err)
		}
	}
	values := d.Value.(map[string]any)
	if number, ok := values["replicas"].(json.Number); ok {
		replicas, _ := number.Int64() // the schema has it small and whole
		w.Replicas = int(replicas)
	}
	if params, ok := values["params"].(map[string]any); ok {
		w.Params = map[string]string{}
		for key := range params {
			w.Params[key] = d.Text("params", key)
		}
	}
	return w
}
