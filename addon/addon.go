// Package addon reads, checks and renders addons: the descriptions, in YAML
// and scripts, of how an engine becomes a database. It owns the tables
// addons, addon_versions and addon_parameters, which list what was found.
//
// No Go code outside of an addon's directory knows an engine by name.
package addon

import (
	"io/fs"
	"time"

	"github.com/volvox-os/volvox/instance"
)

// Addon is one engine.
type Addon struct {
	Name        string // "postgresql"
	Title       string
	Description string
	Versions    []Version
	Topologies  []Topology
	Components  map[string]*Component
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

// Component is a kind of member.
type Component struct {
	Name      string
	Image     string // a key of Version.Images
	Command   []string
	Ports     []instance.Port // the first is the one clients use
	Volumes   []Volume
	Roles     []Role
	HA        string // "controller" or "none"
	Stop      instance.Stop
	Accounts  []Account
	Configs   []Config
	Actions   map[string]Action
	Params    []Parameter // sorted by name
	Defaults  Resources
	URL       string   // template of a client's URL: {user} {password} {host} {port}
	Client    []string // command of a client on the machine: {user} {host} {port}; the password is in ClientEnv
	ClientEnv map[string]string
}

// Volume is a directory that stays.
type Volume struct {
	Name string
	Path string // in the container
}

// Role is what a member may say that it is.
type Role struct {
	Name     string
	Writable bool // at most one member has such a role
}

// Account is made with a new password for each cluster.
type Account struct {
	Name  string // its secret is CLUSTER/NAME, its file in the container /secrets/NAME
	User  string
	Admin bool // the one `db connect` uses; exactly one
}

// Config is a configuration file made for each member.
type Config struct {
	Path     string // in the container, below /config
	Template string // text/template over Values
}

// Resources are used when the person names none.
type Resources struct {
	CPUMillis    int64
	MemoryBytes  int64
	StorageBytes int64
}

// Action is a script of the addon, see the contract in docs/reference/addon.md.
type Action struct {
	Name    string
	In      string // engine or job
	Script  string // path in the container, /scripts/NAME
	Timeout time.Duration
}

// The actions that the core knows. probe is mandatory and streams; init, seed,
// setup and the others are capabilities: absent means that the engine cannot.
const (
	ActionInit  = "init"  // job: make the data of the first member
	ActionSeed  = "seed"  // job: copy the data of the primary ($DB_PRIMARY_HOST) for a new member
	ActionSetup = "setup" // engine, on the first member when it is ready: accounts, databases
	ActionProbe = "probe" // engine: one JSON line per interval, see instance.Health
	ActionJoin  = "join"  // engine, on the primary, before a member is seeded ($DB_MEMBER_NAME, $DB_MEMBER_HOST)
	ActionLeave = "leave" // engine, on the primary, after a member is gone
	ActionStop  = "stop"  // engine, before the program is asked to end
)

// Parameter is something a person may set.
type Parameter struct {
	Name    string
	Type    string // string, integer, number, boolean
	Doc     string
	Default string // a CEL expression over cpu_millis, memory_bytes, storage_bytes, replicas
	Apply   string // live, reload, restart or never
	Schema  []byte // JSON Schema of the value
}

// Values are what templates and default expressions see.
type Values struct {
	Cluster      string
	Project      string
	Component    string
	Member       string // shop-pg-0
	Ordinal      int
	Version      string
	Replicas     int
	CPUMillis    int64
	MemoryBytes  int64
	StorageBytes int64
	Params       map[string]string // all of them, defaults computed
}

// Load reads the addon in the root of dir. Errors have code E_BAD_FILE and
// name file, line and what is allowed there.
func Load(dir fs.FS) (*Addon, error) { panic("not built") }

// LoadAll reads every directory of root as an addon.
func LoadAll(root fs.FS) ([]*Addon, error) { panic("not built") }

// Version returns the named version, or the default one for an empty name;
// E_UNKNOWN_VERSION lists those there are.
func (a *Addon) Version(name string) (Version, error) { panic("not built") }

// Topology returns the named topology, or for an empty name the first one
// that allows so many members; E_UNKNOWN_TOPOLOGY says what is allowed.
func (a *Addon) Topology(name string, replicas int) (Topology, error) { panic("not built") }

// Parameters checks what a person set and returns every parameter with its
// value: E_UNKNOWN_PARAMETER (did you mean …) or E_BAD_PARAMETER (says what
// is allowed). v.Params is ignored.
func (c *Component) Parameters(set map[string]string, v Values) (map[string]string, error) {
	panic("not built")
}

// Render returns the spec of one member: image, command, config files from
// their templates, scripts, ports, volumes of StorageBytes, limits, probe.
// v.Params are as Parameters returned them.
func (c *Component) Render(a *Addon, version Version, v Values) (instance.Spec, error) {
	panic("not built")
}
