// Package database turns the wish for a database into a cluster: components,
// their instances, and the workflows that make and remove them. It owns the
// tables clusters, components and accounts. It knows addons, and no engine.
//
// A cluster is wished for in one transaction, together with the workflow that
// makes it; from then on the cluster becomes Running, or it is removed again
// and the workflow says why. A cluster whose deletion was acknowledged goes,
// whatever happens.
package database

import (
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
)

// Wish is a database as a person asks for it. Only Name and Engine must be
// given.
type Wish struct {
	Project      string            `json:"project,omitempty"`
	Name         string            `json:"name"`
	Engine       string            `json:"engine"`
	Version      string            `json:"version,omitempty"`
	Topology     string            `json:"topology,omitempty"`
	Replicas     int               `json:"replicas,omitempty"`      // all members; 0 is as few as the topology can have
	CPUMillis    int64             `json:"cpu_millis,omitempty"`    // for each member; 0 is what the addon says
	MemoryBytes  int64             `json:"memory_bytes,omitempty"`  // for each member; 0 is what the addon says
	StorageBytes int64             `json:"storage_bytes,omitempty"` // for each volume of each member; 0 is what the addon says
	Params       map[string]string `json:"params,omitempty"`
}

// Cluster is one row of the table clusters.
type Cluster struct {
	Project      string            `json:"project"`
	Name         string            `json:"name"`
	ID           volvox.ID         `json:"id"`
	Engine       string            `json:"engine"`
	Version      string            `json:"version"`
	Topology     string            `json:"topology"`
	Replicas     int               `json:"replicas"`
	CPUMillis    int64             `json:"cpu_millis"`
	MemoryBytes  int64             `json:"memory_bytes"`
	StorageBytes int64             `json:"storage_bytes"`
	Params       map[string]string `json:"params"` // as the person set them
	Phase        volvox.Phase      `json:"phase"`
	Code         volvox.Code       `json:"code"`
	Message      string            `json:"message"`
	Workflow     string            `json:"workflow"` // the last operation on it
	CreatedAt    time.Time         `json:"created_at"`
}

const clusterColumns = `project, name, id, engine, version, topology, replicas, cpu_millis, memory_bytes, storage_bytes,
	params, phase, code, message, workflow, created_at`

// Ref names the cluster.
func (c Cluster) Ref() volvox.Ref { return ref(c.Project, c.Name) }

// Component is one row of the table components.
type Component struct {
	Project      string       `json:"project"`
	Cluster      string       `json:"cluster"`
	Name         string       `json:"name"`
	Kind         string       `json:"kind"`  // its component in the addon
	Place        int          `json:"place"` // components are made in this order
	Replicas     int          `json:"replicas"`
	CPUMillis    int64        `json:"cpu_millis"`
	MemoryBytes  int64        `json:"memory_bytes"`
	StorageBytes int64        `json:"storage_bytes"`
	Phase        volvox.Phase `json:"phase"`
	Code         volvox.Code  `json:"code"`
	Message      string       `json:"message"`
	Primary      string       `json:"primary_instance"` // the member with the writable role
}

const componentColumns = `project, cluster, name, kind, place, replicas, cpu_millis, memory_bytes, storage_bytes,
	phase, code, message, primary_instance`

// Member is the name of the component's member with the ordinal.
func (c Component) Member(ordinal int) string { return memberName(c.Cluster, c.Name, ordinal) }

// Members are the names of all members of the component.
func (c Component) Members() []string {
	names := make([]string, c.Replicas)
	for i := range names {
		names[i] = c.Member(i)
	}
	return names
}

// setName is the name of a component's instance set.
func setName(cluster, component string) string { return cluster + "-" + component }

func memberName(cluster, component string, ordinal int) string {
	return instance.Set{Name: setName(cluster, component)}.Member(ordinal)
}

// Account is one row of the table accounts.
type Account struct {
	Project   string `json:"project"`
	Cluster   string `json:"cluster"`
	Name      string `json:"name"`
	Component string `json:"component"`
	User      string `json:"username"`
	Admin     bool   `json:"admin"`
	Secret    string `json:"secret"` // the name of its password in secrets
}

const accountColumns = `project, cluster, name, component, username, admin, secret`

// Engine is what there is to choose of an engine.
type Engine = addon.Summary

// Plan is what applying a wish would do.
type Plan struct {
	Cluster  string            `json:"cluster"`
	Action   Action            `json:"action"`
	Engine   string            `json:"engine"`
	Version  string            `json:"version"`         // of what is there or would be made; empty of what is refused
	Topology string            `json:"topology"`        // the same
	Params   map[string]string `json:"params"`          // as the person set them
	Members  []PlannedMember   `json:"members"`         // those that would be made
	Steps    []string          `json:"steps"`           // in words, in order
	Error    *volvox.Error     `json:"error,omitempty"` // why it would be refused
}

// PlannedMember is a member that a plan would make.
type PlannedMember struct {
	Name         string `json:"name"`
	Machine      string `json:"machine"`
	Reason       string `json:"reason"` // why there, in words
	CPUMillis    int64  `json:"cpu_millis"`
	MemoryBytes  int64  `json:"memory_bytes"`
	StorageBytes int64  `json:"storage_bytes"` // of each of its volumes
}

// Action is what a plan comes to.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionNone    Action = "none"
	ActionRefused Action = "refused"
)

// Connection says how a client reaches a database.
type Connection struct {
	URL     string            `json:"url"` // the password is **** unless revealed
	Host    string            `json:"host"`
	Port    int               `json:"port"`
	User    string            `json:"user"`
	Command []string          `json:"command"`           // a client program for this machine
	Env     map[string]string `json:"env,omitempty"`     // for it; only when revealed
	Package string            `json:"package,omitempty"` // the Debian package that has it
}

func ref(project, name string) volvox.Ref {
	return volvox.Ref{Kind: "cluster", Project: project, Name: name}
}
