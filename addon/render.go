package addon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
)

// maxPids bounds the processes and threads of every member.
const maxPids = 4096

// Render returns the spec of one member: image, command, config files from
// their templates, scripts, ports, volumes of StorageBytes, limits, probe.
// v.Params are as [Component.Parameters] returned them.
//
// The environment holds what does not change while the member lives: see
// docs/reference/addon.md. DB_HOST is the caller's to add, as only it knows
// the address. The same arguments give the same spec.
func (c *Component) Render(a *Addon, version Version, v Values) (instance.Spec, error) {
	image, ok := version.Images[c.Image]
	if !ok {
		return instance.Spec{}, volvox.Errorf(volvox.UnknownVersion, "version %s of %s has no image %q", version.Name, a.Name, c.Image)
	}
	v.Version = version.Name
	if v.Component == "" {
		v.Component = c.Name
	}
	s := instance.Spec{
		Image: image, Command: slices.Clone(c.Command), Env: c.env(v), Ports: slices.Clone(c.Ports), Stop: c.Stop,
		Limits: instance.Limits{CPUMillis: v.CPUMillis, MemoryBytes: v.MemoryBytes, Pids: maxPids},
		Probe:  &instance.Probe{Command: c.Actions[ActionProbe].Command()},
	}
	for _, f := range c.Configs {
		text, err := c.renderConfig(f, v)
		if err != nil {
			return instance.Spec{}, fmt.Errorf("render %s of %s: %w", f.Path, v.Member, err)
		}
		s.Files = append(s.Files, instance.File{Path: f.Path, Mode: 0o444, Content: text})
	}
	s.Files = append(s.Files, c.scripts...)
	for _, account := range c.Accounts {
		s.Secrets = append(s.Secrets, v.Cluster+"/"+account.Name)
	}
	for _, volume := range c.Volumes {
		s.Volumes = append(s.Volumes, instance.Mount{Name: volume.Name, Path: volume.Path, Bytes: v.StorageBytes})
	}
	return s, nil
}

// env is what the program and all actions of a member are told.
func (c *Component) env(v Values) map[string]string {
	return map[string]string{
		"DB_PROJECT": v.Project, "DB_CLUSTER": v.Cluster, "DB_COMPONENT": v.Component, "DB_MEMBER": v.Member,
		"DB_ORDINAL": strconv.Itoa(v.Ordinal), "DB_VERSION": v.Version, "DB_PORT": strconv.Itoa(c.Ports[0].Port), "DB_SECRETS": "/secrets",
	}
}

func (c *Component) renderConfig(f Config, v Values) (string, error) {
	t := c.templates[f.Path]
	if t == nil {
		var err error
		if t, err = template.New(f.Path).Option("missingkey=error").Funcs(templateFuncs()).Parse(f.Template); err != nil {
			return "", err
		}
	}
	var text strings.Builder
	if err := t.Execute(&text, v); err != nil {
		return "", err
	}
	return text.String(), nil
}

// templateFuncs are the functions of configuration templates besides those of
// text/template.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		// single quotes as configuration files with 'text' and '' want it.
		"single": func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
		// double quotes with \ before " and \.
		"double": func(s string) string {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		},
	}
}

// Admin is the account that a person connects as.
func (c *Component) Admin() Account {
	for _, a := range c.Accounts {
		if a.Admin {
			return a
		}
	}
	return Account{}
}
