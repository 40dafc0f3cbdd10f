package addon

import (
	"text/template"
	"time"

	"github.com/volvox-os/volvox/instance"
)

// Component is a kind of member.
type Component struct {
	Name     string
	Image    string // a key of Version.Images
	Command  []string
	Ports    []instance.Port // the first is the one clients use
	Volumes  []Volume
	Roles    []Role
	HA       string // "controller" or "none"
	Stop     instance.Stop
	Accounts []Account
	Configs  []Config
	Actions  map[string]Action
	Params   []Parameter // sorted by name
	Defaults Resources
	URL      string // template of a client's URL: {user} {password} {host} {port}
	Client   Client

	scripts   []instance.File // of the addon, sorted by path
	templates map[string]*template.Template
}

// Client is the program on the machine with which a person uses the engine.
type Client struct {
	Command []string          // templates: {user} {host} {port}
	Env     map[string]string // templates, which may hold {password} too
	Package string            // the Debian package that has the program; empty if unknown
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

// Command is what runs the action in the container.
func (a Action) Command() []string { return []string{"/bin/sh", a.Script} }

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

// Exit codes of actions. Every other code is a permanent failure.
const (
	ExitDone          = 0   // also: it was so already
	ExitAgain         = 10  // in progress: call again
	ExitNotApplicable = 11  // nothing to do for this member
	ExitTransient     = 20  // failed, may succeed later
	ExitPermanent     = 30  // failed, and will fail again
	ExitRefused       = 40  // refused as unsafe
	ExitTimedOut      = 124 // the agent ended it
)

// Values are what templates and default expressions see.
type Values struct {
	Cluster      string
	Project      string
	Component    string // its place in the topology; empty is the component's name
	Member       string // shop-db-0
	Ordinal      int
	Version      string
	Replicas     int
	CPUMillis    int64
	MemoryBytes  int64
	StorageBytes int64
	Params       map[string]string // all of them, defaults computed
}
