// Package addon reads, checks and renders addons: the descriptions, in YAML
// and scripts, of how an engine becomes a database. It owns the tables
// addons, addon_versions, addon_topologies and addon_parameters, which list
// what was found.
//
// No Go code outside of an addon's directory knows an engine by name.
// docs/reference/addon.md describes the files and the contract of scripts.
package addon

import (
	"fmt"
	"strings"

	"github.com/volvox-os/volvox"
)

// Addon is one engine.
type Addon struct {
	Name        string // what a person asks for with --engine
	Title       string
	Description string
	Versions    []Version
	Topologies  []Topology
	Components  map[string]*Component
	Conformance *Conformance // nil when the addon has none
}

// Version is a version of the engine that can be run.
type Version struct {
	Name    string            // "15"
	Default bool              // exactly one
	Images  map[string]string // image name in components → deb:… or file:…
}

// Topology is a way to put components together.
type Topology struct {
	Name       string // "standalone", "replication"
	Doc        string
	Components []TopologyComponent // in the order of creation
}

// TopologyComponent is a component's place in a topology.
type TopologyComponent struct {
	Name        string // in instance names: shop-NAME-0
	Component   string
	MinReplicas int
	MaxReplicas int
}

// Conformance is a workload that the generic tests run against every engine.
// Its commands run in the engine of a member; {key} in them stands for the
// item. An exit of 0 acknowledges.
type Conformance struct {
	Component string
	Prepare   []string // once, on the writable member, before all others
	Write     []string // adds the item {key}, on the writable member; adding one twice is adding it once
	Read      []string // prints all items, one a line, on any member
	Count     []string // prints the number of items, on any member
}

// Version returns the named version, or the default one for an empty name;
// E_UNKNOWN_VERSION lists those there are.
func (a *Addon) Version(name string) (Version, error) {
	names := make([]string, len(a.Versions))
	for i, v := range a.Versions {
		if v.Name == name || (name == "" && v.Default) {
			return v, nil
		}
		names[i] = v.Name
	}
	return Version{}, volvox.Errorf(volvox.UnknownVersion, "%s has no version %q%s", a.Name, name, volvox.Hint(name, names)).
		Because("%s", thereAre(names)).
		WithTry("leave --version out, or name one of these")
}

// Topology returns the named topology, or for an empty name the first one
// that allows so many members; E_UNKNOWN_TOPOLOGY says what is allowed. 0
// replicas are as few as the topology allows.
func (a *Addon) Topology(name string, replicas int) (Topology, error) {
	var allowed, names []string
	for _, t := range a.Topologies {
		least, most := t.Replicas()
		fits := replicas == 0 || (replicas >= least && replicas <= most)
		if fits && (name == t.Name || name == "") {
			return t, nil
		}
		names = append(names, t.Name)
		allowed = append(allowed, t.Name+" has "+between(least, most))
	}
	e := volvox.Errorf(volvox.UnknownTopology, "%s cannot have %s", a.Name, between(replicas, replicas))
	for _, n := range names {
		if n == name {
			e = volvox.Errorf(volvox.UnknownTopology, "%s cannot have %s in the topology %s", a.Name, between(replicas, replicas), name)
			name = ""
		}
	}
	if name != "" {
		e = volvox.Errorf(volvox.UnknownTopology, "%s has no topology %q%s", a.Name, name, volvox.Hint(name, names))
	}
	return Topology{}, e.Because("%s", strings.Join(allowed, ", ")).
		WithTry("leave --topology out: the number of replicas chooses one")
}

// Replicas returns the fewest and the most members that the topology can
// have, all components together.
func (t Topology) Replicas() (least, most int) {
	for _, c := range t.Components {
		least += c.MinReplicas
		most += c.MaxReplicas
	}
	return least, most
}

func between(least, most int) string {
	switch {
	case most == 1:
		return "1 member"
	case least == most:
		return fmt.Sprintf("%d members", least)
	default:
		return fmt.Sprintf("%d to %d members", least, most)
	}
}

// thereAre lists what there is to choose from.
func thereAre(names []string) string {
	if len(names) == 0 {
		return "there is none"
	}
	return "there " + isOrAre(names) + " " + strings.Join(names, ", ")
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}
