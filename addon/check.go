package addon

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/document"
)

func (l *loader) componentNames() []string { return slices.Sorted(maps.Keys(l.components)) }

// checkAddon follows what addon.yaml refers to.
func (l *loader) checkAddon() {
	d, a := l.addonDoc, &l.addon
	if l.folder != "" && a.Name != l.folder {
		l.faults.Add(d.File, d.At("name"), "name: is %q, must be the name of the directory, %q", a.Name, l.folder)
	}
	defaults := 0
	l.checkUnique(d, "versions", "name", len(a.Versions), func(i int) string { return a.Versions[i].Name })
	for i, v := range a.Versions {
		step := strconv.Itoa(i)
		if v.Default {
			defaults++
		}
		if v.Default && defaults > 1 {
			l.faults.Add(d.File, d.KeyAt("versions", step, "default"), "a second version is the default: exactly one must be")
		}
		l.checkImages(i)
	}
	if defaults == 0 {
		l.faults.Add(d.File, d.KeyAt("versions"), "no version is the default: exactly one must have default: true")
	}
	l.checkTopologies()
}

// checkImages holds the images of a version against those that components use.
func (l *loader) checkImages(version int) {
	d, v := l.addonDoc, l.addon.Versions[version]
	used := map[string]bool{}
	for _, c := range l.components {
		used[c.Image] = true
	}
	path := document.Path{"versions", strconv.Itoa(version), "images"}
	for _, image := range slices.Sorted(maps.Keys(v.Images)) {
		if !used[image] {
			l.faults.Add(d.File, d.KeyAt(path.Below(image)...), "no component uses the image %q: they use %s", image, volvox.Either(slices.Sorted(maps.Keys(used))))
		}
	}
	for _, image := range slices.Sorted(maps.Keys(used)) {
		if _, ok := v.Images[image]; !ok {
			l.faults.Add(d.File, d.KeyAt(path...), "the version %q has no image %q, which a component uses", v.Name, image)
		}
	}
}

func (l *loader) checkTopologies() {
	d := l.addonDoc
	used, seen := map[string]bool{}, map[string]bool{}
	for i, t := range l.addon.Topologies {
		at := document.Path{"topologies", strconv.Itoa(i)}
		if seen[t.Name] {
			l.faults.Add(d.File, d.At(at.Below("name")...), "the topology %q stands here a second time", t.Name)
		}
		seen[t.Name] = true
		places := map[string]bool{}
		for j, p := range t.Components {
			at := at.Below("components", strconv.Itoa(j))
			if places[p.Name] {
				l.faults.Add(d.File, d.At(at.Below("name")...), "the name %q stands in this topology a second time", p.Name)
			}
			places[p.Name], used[p.Component] = true, true
			if _, ok := l.components[p.Component]; !ok {
				names := l.componentNames()
				l.faults.Add(d.File, d.At(at.Below("component")...), "there is no component %q%s: %s",
					p.Component, volvox.Hint(p.Component, names), thereAre(names))
			}
			if p.Replicas.Max < p.Replicas.Min {
				l.faults.Add(d.File, d.At(at.Below("replicas", "max")...), "max is %d, must be at least min, %d", p.Replicas.Max, p.Replicas.Min)
			}
		}
	}
	for _, name := range l.componentNames() {
		if !used[name] {
			l.faults.Add(l.docs[name].File, document.Position{}, "no topology uses the component %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.params)) {
		if _, ok := l.components[name]; !ok {
			l.faults.Add(l.paramDocs[name].File, document.Position{}, "there is no component %q%s for these parameters", name, volvox.Hint(name, l.componentNames()))
		}
	}
}

// checkComponent follows what a component refers to.
func (l *loader) checkComponent(name string) {
	c, d := l.components[name], l.docs[name]
	l.checkUnique(d, "ports", "name", len(c.Ports), func(i int) string { return c.Ports[i].Name })
	l.checkUnique(d, "ports", "port", len(c.Ports), func(i int) string { return strconv.Itoa(c.Ports[i].Port) })
	l.checkUnique(d, "volumes", "name", len(c.Volumes), func(i int) string { return c.Volumes[i].Name })
	l.checkUnique(d, "volumes", "path", len(c.Volumes), func(i int) string { return c.Volumes[i].Path })
	l.checkUnique(d, "roles", "name", len(c.Roles), func(i int) string { return c.Roles[i].Name })
	l.checkUnique(d, "accounts", "name", len(c.Accounts), func(i int) string { return c.Accounts[i].Name })
	l.checkUnique(d, "configs", "path", len(c.Configs), func(i int) string { return c.Configs[i].Path })

	writable := l.countFlags(d, "roles", "writable", len(c.Roles), func(i int) bool { return c.Roles[i].Writable })
	if c.HA == "controller" && writable == 0 {
		l.faults.Add(d.File, d.At("ha"), "ha: controller needs a role with writable: true")
	}
	if l.countFlags(d, "accounts", "admin", len(c.Accounts), func(i int) bool { return c.Accounts[i].Admin }) == 0 {
		l.faults.Add(d.File, d.KeyAt("accounts"), "no account is the admin: exactly one must have admin: true")
	}
	for i, f := range c.Configs {
		if _, ok := l.templates[f.Template]; !ok {
			names := slices.Sorted(maps.Keys(l.templates))
			l.faults.Add(d.File, d.At("configs", strconv.Itoa(i), "template"), "there is no file configs/%s%s: %s",
				f.Template, volvox.Hint(f.Template, names), thereAre(names))
		}
	}
	for _, action := range slices.Sorted(maps.Keys(c.Actions)) {
		l.checkScript(d, c.Actions[action].Script, "actions", action, "script")
	}
	l.checkCommand(d, c.Command, "command")
	l.checkPlaceholders(d, c.URL, []string{"user", "password", "host", "port"}, "url")
	for i, word := range c.Client.Command {
		l.checkPlaceholders(d, word, []string{"user", "host", "port"}, "client", "command", strconv.Itoa(i))
	}
	for _, key := range slices.Sorted(maps.Keys(c.Client.Env)) {
		l.checkPlaceholders(d, c.Client.Env[key], []string{"user", "password", "host", "port"}, "client", "env", key)
	}
}

// checkUnique reports entries of a list that share a value.
func (l *loader) checkUnique(d *document.Document, list, key string, n int, value func(int) string) {
	seen := map[string]bool{}
	for i := range n {
		if seen[value(i)] {
			l.faults.Add(d.File, d.At(list, strconv.Itoa(i), key), "%s: the %s %q stands here a second time", list, key, value(i))
		}
		seen[value(i)] = true
	}
}

// countFlags counts the entries with a flag and reports all after the first.
func (l *loader) countFlags(d *document.Document, list, key string, n int, flag func(int) bool) int {
	count := 0
	for i := range n {
		if !flag(i) {
			continue
		}
		if count++; count > 1 {
			l.faults.Add(d.File, d.KeyAt(list, strconv.Itoa(i), key), "%s: a second one has %s: true, only one may", list, key)
		}
	}
	return count
}

func (l *loader) checkScript(d *document.Document, script string, at ...string) {
	if _, ok := l.scripts[script]; !ok {
		names := slices.Sorted(maps.Keys(l.scripts))
		l.faults.Add(d.File, d.At(at...), "there is no file scripts/%s%s: %s",
			script, volvox.Hint(script, names), thereAre(names))
	}
}

// checkCommand looks for the scripts that a command names.
func (l *loader) checkCommand(d *document.Document, command []string, at ...string) {
	for i, word := range command {
		if script, ok := strings.CutPrefix(word, "/scripts/"); ok {
			l.checkScript(d, script, document.Path(at).Below(strconv.Itoa(i))...)
		}
	}
}

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

func (l *loader) checkPlaceholders(d *document.Document, text string, allowed []string, at ...string) {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(allowed, m[1]) {
			l.faults.Add(d.File, d.At(at...), "%s{%s} is not known here%s: allowed are {%s}",
				document.Path(at).Label(), m[1], volvox.Hint(m[1], allowed), strings.Join(allowed, "} {"))
		}
	}
}

func (l *loader) checkConformance() {
	if l.conformance == nil {
		return
	}
	c, d := l.conformance, l.confDoc
	if _, ok := l.components[c.Component]; !ok {
		names := l.componentNames()
		l.faults.Add(d.File, d.At("component"), "there is no component %q%s: %s",
			c.Component, volvox.Hint(c.Component, names), thereAre(names))
	}
	for key, command := range map[string][]string{"prepare": c.Prepare, "write": c.Write, "read": c.Read, "count": c.Count} {
		l.checkCommand(d, command, key)
		for i, word := range command {
			l.checkPlaceholders(d, word, []string{"key"}, key, strconv.Itoa(i))
		}
	}
}
