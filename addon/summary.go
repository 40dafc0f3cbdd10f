package addon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Summary is what a person chooses from when asking for a database.
type Summary struct {
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Default     string             `json:"default_version"`
	Versions    []string           `json:"versions"`
	Topologies  []TopologySummary  `json:"topologies"`
	Parameters  []ParameterSummary `json:"parameters"`
}

// TopologySummary is a topology, and how many members it can have.
type TopologySummary struct {
	Name  string `json:"name"`
	Doc   string `json:"doc"`
	Least int    `json:"least_replicas"`
	Most  int    `json:"most_replicas"`
}

// ParameterSummary is a parameter of a component.
type ParameterSummary struct {
	Component string `json:"component"`
	Name      string `json:"name"`
	Doc       string `json:"doc"`
	Allowed   string `json:"allowed"` // in words
	Default   string `json:"default"` // an expression
	Apply     string `json:"apply"`   // live, reload, restart or never
}

// Summary returns what there is to choose of the engine: versions and
// topologies as in its files, parameters by component and name.
func (a *Addon) Summary() Summary {
	s := Summary{Name: a.Name, Title: a.Title, Description: a.Description, Versions: []string{}, Topologies: []TopologySummary{}, Parameters: []ParameterSummary{}}
	for _, v := range a.Versions {
		s.Versions = append(s.Versions, v.Name)
		if v.Default {
			s.Default = v.Name
		}
	}
	for _, t := range a.Topologies {
		least, most := t.Replicas()
		s.Topologies = append(s.Topologies, TopologySummary{t.Name, t.Doc, least, most})
	}
	for _, name := range slices.Sorted(maps.Keys(a.Components)) {
		for _, p := range a.Components[name].Params {
			s.Parameters = append(s.Parameters, ParameterSummary{name, p.Name, p.Doc, p.Allowed, p.Default, p.Apply})
		}
	}
	return s
}

// Shapes is the topologies with how many members they can have, in a line:
// "standalone (1), replication (2-5)".
func (s Summary) Shapes() string {
	all := make([]string, len(s.Topologies))
	for i, t := range s.Topologies {
		all[i] = fmt.Sprintf("%s (%d-%d)", t.Name, t.Least, t.Most)
		if t.Least == t.Most {
			all[i] = fmt.Sprintf("%s (%d)", t.Name, t.Least)
		}
	}
	return strings.Join(all, ", ")
}
