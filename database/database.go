// Package database turns the wish for a database into a cluster: components,
// their instances, and the workflows that make and remove them. It owns the
// tables clusters, components and accounts. It knows addons, and no engine.
package database

import (
	"time"

	"github.com/volvox-os/volvox"
)

// Wish is a database as a person asks for it. Only Name and Engine must be
// given.
type Wish struct {
	Project      string            `json:"project,omitempty"`
	Name         string            `json:"name"`
	Engine       string            `json:"engine"`
	Version      string            `json:"version,omitempty"`
	Topology     string            `json:"topology,omitempty"`
	Replicas     int               `json:"replicas,omitempty"` // all members; 0 is 1
	CPUMillis    int64             `json:"cpu_millis,omitempty"`
	MemoryBytes  int64             `json:"memory_bytes,omitempty"`
	StorageBytes int64             `json:"storage_bytes,omitempty"`
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

// Component is one row of the table components.
type Component struct {
	Project  string       `json:"project"`
	Cluster  string       `json:"cluster"`
	Name     string       `json:"name"`
	Kind     string       `json:"kind"` // its component in the addon
	Replicas int          `json:"replicas"`
	Phase    volvox.Phase `json:"phase"`
	Primary  string       `json:"primary_instance"` // the member with the writable role
}

// Plan is what applying a wish would do.
type Plan struct {
	Action string        `json:"action"`          // create, none, or refused
	Steps  []string      `json:"steps"`           // in words, in order
	Error  *volvox.Error `json:"error,omitempty"` // why it would be refused
}

// Connection says how a client reaches a database.
type Connection struct {
	URL     string            `json:"url"` // the password is **** unless revealed
	Host    string            `json:"host"`
	Port    int               `json:"port"`
	User    string            `json:"user"`
	Command []string          `json:"command"`       // a client program for this machine
	Env     map[string]string `json:"env,omitempty"` // for it; only when revealed
}
