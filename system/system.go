// Package system puts the parts of a computer together: each is a field of
// [System], opened in the order in which they stand and closed in the
// opposite one. It is the only package that knows them all, and it decides
// nothing that a part could decide.
package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/containerd"
	"github.com/volvox-os/volvox/agent/image"
	"github.com/volvox-os/volvox/agent/network"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
	"github.com/volvox-os/volvox/workflow"
)

// Options of a computer.
type Options struct {
	Data    string // directory of what stays; empty: [volvox.DefaultData]
	Network string // range of the instances' addresses; empty: a free one
	Listen  string // loopback address of the API beside its socket; empty: none
	Name    string // of this machine; empty: its host name
	Log     *slog.Logger
}

// System is one computer on one machine: kernel, control plane and agent.
type System struct {
	options Options
	layout  volvox.Layout
	log     *slog.Logger
	began   time.Time
	parts   parts

	lock      *lock
	socket    *api.Listener
	tcp       *api.Listener // nil unless asked for
	handler   atomic.Pointer[http.Handler]
	kernel    *store.DB
	secrets   *secret.Service
	machines  *machine.Service
	instances *instance.Service
	databases *database.Service
	workflows *workflow.Engine
	network   *network.Network
	runtime   *containerd.Runtime
	images    *image.Store
	addons    []*addon.Addon
	broken    map[string]error // addons that cannot be used, by name
	agent     *agent.Agent

	stopServing context.CancelFunc // ends serving and what runs beside it
	serving     sync.WaitGroup
	stop        chan Ending // what somebody asked for over the API
	name        string      // of this machine
	where       string      // the range in use
}

// Open boots the computer and returns when all its parts are ready. On an
// error everything is closed again; instances that run go on running.
func Open(ctx context.Context, o Options) (*System, error) {
	s, err := closed(o)
	if err != nil {
		return nil, err
	}
	ctx = volvox.WithActor(ctx, volvox.System)
	if err := s.open(ctx, s.all()...); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx), Leave))
	}
	s.serve(api.Options{Kernel: s.kernel, Databases: s.databases, Applier: s.databases, Engines: s.databases, Machines: s.machines,
		Workflows: s.workflows, Agent: s.agent, Computer: s, Log: s.log})
	s.parts.complete()
	return s, nil
}

// closed is a computer none of whose parts is open.
func closed(o Options) (*System, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := volvox.LayoutOf(o.Data)
	if err != nil {
		return nil, err
	}
	return &System{options: o, layout: l, log: o.Log, began: time.Now(), stop: make(chan Ending, 1)}, nil
}

// step opens one part.
type step struct {
	part string
	open func(context.Context) error
}

// all are the parts in the order in which they need each other.
func (s *System) all() []step {
	return []step{
		{"machine", s.openMachine},
		{"api", s.openAPI},
		{"kernel", s.openKernel},
		{"network", s.openNetwork},
		{"containers", s.openRuntime},
		{"images", s.openImages},
		{"addons", s.openAddons},
		{"services", s.openServices},
		{"agent", s.openAgent},
		{"workflows", s.openWorkflows},
	}
}

func (s *System) open(ctx context.Context, steps ...step) error {
	for _, step := range steps {
		s.parts.set(step.part, api.PartStarting, "")
		began := time.Now()
		if err := step.open(ctx); err != nil {
			s.parts.set(step.part, api.PartFailed, err.Error())
			return err
		}
		s.parts.ready(step.part)
		s.log.DebugContext(ctx, "a part is ready", "part", step.part, "took", time.Since(began))
	}
	return nil
}

// openMachine checks that this machine can carry a computer, and takes the
// data directory.
func (s *System) openMachine(context.Context) (err error) {
	if os.Geteuid() != 0 {
		return volvox.Errorf(volvox.Denied, "a computer needs root").
			Because("this is user %d; containers and their network need root", os.Geteuid()).WithTry("sudo volvox up")
	}
	if s.options.Name != "" {
		if err := volvox.CheckName("machine", s.options.Name); err != nil {
			return err
		}
	}
	if s.lock, err = takeLock(s.layout); err != nil {
		return err
	}
	if err := os.MkdirAll(s.layout.Run, 0o700); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	if err := os.WriteFile(s.layout.Home(), []byte(s.layout.Data+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the run directory: %w", err)
	}
	return nil
}

// openAPI begins to answer: until the parts are there, that they are not.
func (s *System) openAPI(ctx context.Context) (err error) {
	if s.socket, err = api.Listen(s.layout.APISocket()); err != nil {
		return err
	}
	if s.options.Listen != "" {
		if s.tcp, err = api.ListenTCP(s.options.Listen, filepath.Join(s.layout.Data, "token")); err != nil {
			return err
		}
	}
	s.serve(api.Options{Computer: s, Log: s.log})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stopServing = cancel
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.handler.Load()).ServeHTTP(w, r) })
	for _, l := range []*api.Listener{s.socket, s.tcp} {
		if l != nil {
			s.background(run, "api", func(ctx context.Context) error { return l.Serve(ctx, handler, s.log) })
		}
	}
	return nil
}

// serve changes what the API can answer.
func (s *System) serve(o api.Options) {
	h := api.New(o)
	s.handler.Store(&h)
}

// background runs something until ctx ends; its failure is one of the part.
func (s *System) background(ctx context.Context, part string, f func(ctx context.Context) error) {
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		if err := f(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "a part failed", "part", part, "error", err)
			s.parts.set(part, api.PartFailed, err.Error())
		}
	}()
}

func (s *System) openKernel(ctx context.Context) (err error) {
	if err := s.kernelIsNotLost(); err != nil {
		return err
	}
	if s.kernel, err = sqlite.Open(ctx, s.layout.Kernel()); err != nil {
		return err
	}
	err = s.kernel.Migrate(store.WithName(ctx, "boot"), telemetry.Schema(), secret.Schema(), machine.Schema(), workflow.Schema(),
		instance.Schema(), addon.Schema(), database.Schema())
	if err != nil {
		return err
	}
	if s.secrets, err = secret.Open(ctx, s.kernel, s.layout.SecretKey()); err != nil {
		return err
	}
	s.name, err = s.nameOf(ctx)
	return err
}

// kernelIsNotLost refuses a new kernel where data of instances is: to a
// kernel that knows none of them they would be rubbish, to be removed.
func (s *System) kernelIsNotLost() error {
	for _, file := range []string{s.layout.Kernel(), s.layout.Kernel() + "-wal"} {
		if f, err := os.Stat(file); err == nil && f.Size() > 0 {
			return nil
		}
	}
	kept, err := os.ReadDir(s.layout.Volumes())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(kept) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for data of instances: %w", err)
	}
	return volvox.Errorf(volvox.Corrupt, "the kernel %s is missing", s.layout.Kernel()).
		Because("%s has data that belongs to databases which only that kernel knows", s.layout.Volumes()).
		WithTry("restore %s from its backup", s.layout.Kernel()).
		WithTry("move %s away, to begin anew without that data", s.layout.Volumes())
}

// nameOf is the name of this machine: the one that it has had, whatever the
// host is called by now, since what runs here is known under it.
func (s *System) nameOf(ctx context.Context) (string, error) {
	known, err := machine.New(s.kernel).List(ctx)
	if err != nil {
		return "", err
	}
	name := s.options.Name
	if len(known) == 0 {
		return cmp.Or(name, hostName()), nil
	}
	if name == "" || slices.ContainsFunc(known, func(m machine.Machine) bool { return m.Name == name }) {
		return cmp.Or(name, known[0].Name), nil
	}
	return "", volvox.Errorf(volvox.Unsupported, "the name of this machine cannot be changed to %s", name).
		Because("its instances are known to be on %s", known[0].Name).WithTry("leave --name out")
}

// openNetwork takes the range that the computer has, or chooses one for a new
// computer. It is also written to the run directory, which lives as long as
// the routes do, so that they can be removed without the kernel.
func (s *System) openNetwork(ctx context.Context) (err error) {
	had, err := s.rangeOf(ctx)
	switch {
	case err != nil:
		return err
	case had != "" && s.options.Network != "" && had != s.options.Network:
		return volvox.Errorf(volvox.Unsupported, "the network of a computer cannot be changed to %s", s.options.Network).
			Because("its instances have addresses in %s", had).WithTry("leave --network out")
	case had != "":
		s.where = had
	default:
		if s.where, err = network.ChooseRange(s.layout.Data, s.options.Network); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.layout.Run, "network"), []byte(s.where), 0o600); err != nil {
		return fmt.Errorf("write the run directory: %w", err)
	}
	s.network, err = network.Open(ctx, network.Options{Computer: s.layout.ID, Run: s.layout.Run, Range: s.where})
	return err
}

// rangeOf is the range that this machine has had, empty for a new one.
func (s *System) rangeOf(ctx context.Context) (string, error) {
	if s.kernel == nil { // removing all, without the kernel
		b, err := os.ReadFile(filepath.Join(s.layout.Run, "network"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return string(b), err
	}
	m, err := machine.New(s.kernel).Get(ctx, s.name)
	if volvox.IsKind(err, volvox.KindNotFound) {
		return "", nil
	}
	return m.Range, err
}

func (s *System) openRuntime(ctx context.Context) (err error) {
	s.runtime, err = containerd.Open(ctx, containerd.Options{Root: s.layout.Containerd(), Run: s.layout.Run, Computer: s.layout.ID, Log: s.log})
	return err
}

func (s *System) openImages(ctx context.Context) (err error) {
	s.images, err = image.Open(ctx, image.Options{Dir: s.layout.Images(), Log: s.log})
	return err
}

// openServices makes what needs no start of its own.
func (s *System) openServices(context.Context) error {
	s.machines = machine.New(s.kernel)
	s.instances = instance.New(s.kernel, s.machines, s.secrets)
	s.databases = database.New(database.Options{DB: s.kernel, Addons: s.addons, Broken: s.broken, Instances: s.instances,
		Machines: machine.List, Secrets: s.secrets, Password: secret.Generate, Log: s.log, Output: s.output})
	return nil
}

// output is the last lines that an instance on this machine printed.
func (s *System) output(ctx context.Context, id volvox.ID, lines int) (string, error) {
	var text strings.Builder
	err := s.agent.Logs(ctx, id, false, lines, &text) // workflows run only with an agent
	return text.String(), err
}

func (s *System) openAgent(ctx context.Context) error {
	s.agent = agent.New(agent.Options{
		Machine: machine.Machine{Name: s.name, Range: s.where, Version: volvox.Version},
		Control: s.instances, Runtime: s.runtime, Network: s.network, Images: s.images,
		Data: s.layout.Data, Run: s.layout.Run, Log: s.log,
	})
	if err := s.agent.Start(volvox.WithActor(ctx, volvox.Actor("agent:"+s.name))); err != nil {
		return err
	}
	select {
	case <-s.agent.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return volvox.Errorf(volvox.NotReady, "the agent of this machine did not become ready").WithTry("volvox doctor")
	}
}

func (s *System) openWorkflows(ctx context.Context) (err error) {
	if s.workflows, err = workflow.New(s.kernel, workflow.Options{Log: s.log}, s.databases.Workflows()...); err != nil {
		return err
	}
	s.databases.Use(s.workflows)
	if err := s.workflows.Start(ctx); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopServing := s.stopServing
	s.stopServing = func() { cancel(); stopServing() }
	s.background(run, "databases", s.databases.Run)
	return nil
}

// hostName is the machine's name, made to fit the rule for names.
func hostName() string {
	name, _ := os.Hostname()
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	if volvox.CheckName("machine", name) != nil {
		return "machine"
	}
	return name
}
