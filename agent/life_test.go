package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/containerd"
	"github.com/volvox-os/volvox/agent/network"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/secret"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/store/sqlite"
	"github.com/volvox-os/volvox/telemetry"
)

const (
	computer = "a9e47e"
	addrs    = "100.64.77.0/24"
)

// oneImage is the only image there is.
type oneImage struct{ rootfs string }

func (i oneImage) Ensure(ctx context.Context, ref string, progress func(string)) (agent.Image, error) {
	return agent.Image{Ref: ref, Digest: "sha256:1", Rootfs: i.rootfs}, nil
}

func (i oneImage) Collect(context.Context, []string) ([]agent.Image, error) { return nil, nil }

// small is a small computer: a kernel and an agent.
type small struct {
	db        *store.DB
	secrets   *secret.Service
	instances *instance.Service
	runtime   *containerd.Runtime
	network   *network.Network
	agent     *agent.Agent
	data      string
}

func open(ctx context.Context, dir string) (*small, error) {
	c := &small{data: filepath.Join(dir, "d")}
	run := filepath.Join(dir, "r")
	var err error
	if err = errors.Join(os.MkdirAll(c.data, 0o700), os.MkdirAll(run, 0o700)); err != nil {
		return nil, err
	}
	if c.db, err = sqlite.Open(ctx, filepath.Join(c.data, "kernel.db")); err != nil {
		return nil, err
	}
	if err = c.db.Migrate(ctx, secret.Schema(), telemetry.Schema(), machine.Schema(), instance.Schema()); err != nil {
		return nil, err
	}
	if c.secrets, err = secret.Open(ctx, c.db, filepath.Join(c.data, "secret.key")); err != nil {
		return nil, err
	}
	c.instances = instance.New(c.db, machine.New(c.db), c.secrets)
	rootfs, err := os.ReadFile(filepath.Join(dir, "rootfs"))
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if c.runtime, err = containerd.Open(ctx, containerd.Options{Root: filepath.Join(c.data, "containerd"), Run: run, Computer: computer, Log: log}); err != nil {
		return nil, err
	}
	if c.network, err = network.Open(ctx, network.Options{Computer: computer, Run: run, Range: addrs}); err != nil {
		return nil, err
	}
	c.agent = agent.New(agent.Options{Machine: machine.Machine{Name: "one", Range: addrs}, Control: c.instances, Runtime: c.runtime,
		Network: c.network, Images: oneImage{string(rootfs)}, Data: c.data, Run: run, Log: log})
	return c, c.agent.Start(ctx)
}

func (c *small) close(ctx context.Context) error {
	return errors.Join(c.agent.Stop(ctx), c.runtime.Purge(ctx), c.network.Purge(ctx), c.db.Close())
}

// live makes, uses and removes instances, two at a time, for ever, going on
// with what an earlier life began. When it is asked to end it removes the
// present ones first.
func live(ctx context.Context, dir string, ask <-chan struct{}) error {
	c, err := open(ctx, dir)
	if err != nil {
		return err
	}
	<-c.agent.Ready()
	say("up")
	failed := make(chan error, 2)
	for _, name := range []string{"a", "b"} {
		go func() {
			for {
				err := c.lead(ctx, name)
				select {
				case <-ask:
					failed <- err
					return
				default:
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return errors.Join(<-failed, <-failed, c.close(ctx))
}

// box is an instance whose program counts its starts and its probe says so.
func box() instance.Spec {
	script := func(name, text string) instance.File {
		return instance.File{Path: "/scripts/" + name, Mode: 0o555, Content: "#!/bin/sh\nset -eu\n" + text}
	}
	return instance.Spec{
		Image:   "file:/box",
		Command: []string{"/scripts/serve"},
		Files: []instance.File{
			script("serve", "echo started >>/data/started\ntrap 'exit 0' TERM\nwhile :; do sleep 1 & wait $!; done\n"),
			script("probe", `while :; do echo '{"ready":true,"role":"box"}'; sleep 1; done`+"\n"),
			script("init", `test "$(cat /secrets/admin)" = opened; test "$(cat "$DB_CTX")" = '{"n":1}'; echo init >>/data/init; sleep 0.2; echo '{"made":true}' >"$DB_OUT"; echo made`+"\n"),
			script("setup", `echo setup >>/data/setup; sleep 0.2; echo '{"set":true}' >"$DB_OUT"`+"\n"),
		},
		Secrets: []string{"box/admin"},
		Volumes: []instance.Mount{{Name: "data", Path: "/data", Bytes: 1 << 20}},
		Limits:  instance.Limits{CPUMillis: 500, MemoryBytes: 64 << 20, Pids: 50},
		Stop:    instance.Stop{Signal: "SIGTERM", GraceSeconds: 5},
		Probe:   &instance.Probe{Command: []string{"/scripts/probe"}},
	}
}

// lead leads an instance through its life, or through what is left of it.
func (c *small) lead(ctx context.Context, name string) error {
	i, err := c.begin(ctx, name)
	if err != nil {
		return err
	}
	if i.Desired == instance.Halt {
		if err := c.do(ctx, i, "init", instance.InJob, `{"made":true}`); err != nil {
			return err
		}
	}
	if i.Desired != instance.Remove {
		if err := c.desire(ctx, name, instance.Run); err != nil {
			return err
		}
		if err := c.await(ctx, name, func(i instance.Instance) bool { return i.Phase == volvox.Running && i.Ready && i.Role == "box" }); err != nil {
			return err
		}
		if err := c.do(ctx, i, "setup", instance.InEngine, `{"set":true}`); err != nil {
			return err
		}
		say("runs %s %d", i.ID, c.lines(i.ID, "started"))
		if n := c.lines(i.ID, "init"); n < 1 || n > 2 {
			say("wrong: the job of %s ran %d times", i.Name, n)
		}
		if err := c.desire(ctx, name, instance.Remove); err != nil {
			return err
		}
	}
	f := instance.Filter{Names: []string{name}}
	if _, err := c.instances.WaitInstances(ctx, f, func(is []instance.Instance) (bool, error) { return len(is) == 0, nil }); err != nil {
		return err
	}
	for _, left := range []string{"volumes/" + string(i.ID), "logs/" + string(i.ID) + ".log"} {
		if _, err := os.Stat(filepath.Join(c.data, left)); err == nil {
			say("wrong: %s is left", left)
		}
	}
	say("gone %s", i.ID)
	return nil
}

// begin makes the instance unless it is there.
func (c *small) begin(ctx context.Context, name string) (i instance.Instance, err error) {
	err = c.db.Update(ctx, func(tx *store.Tx) error {
		if err := c.secrets.Put(tx, "main", "box/admin", "opened"); err != nil {
			return err
		}
		if i, err = instance.Get(tx, "main", name); volvox.IsKind(err, volvox.KindNotFound) {
			i, err = instance.Create(tx, instance.Instance{Name: name, Cluster: "box"}, box(), instance.Placement{Machine: "one", Range: addrs, Reason: "it is the only one"})
		}
		return err
	})
	return i, err
}

func (c *small) desire(ctx context.Context, name string, d instance.Desired) error {
	return c.db.Update(ctx, func(tx *store.Tx) error { return instance.SetDesired(tx, "main", name, d) })
}

func (c *small) await(ctx context.Context, name string, ok func(instance.Instance) bool) error {
	_, err := c.instances.WaitInstances(ctx, instance.Filter{Names: []string{name}}, func(is []instance.Instance) (bool, error) {
		if len(is) == 0 {
			return false, fmt.Errorf("%s is not there", name)
		}
		if is[0].Phase == volvox.Failed {
			return false, fmt.Errorf("%s failed: %s %s", name, is[0].Code, is[0].Message)
		}
		return is[0].Observed >= is[0].Generation && ok(is[0]), nil
	})
	return err
}

// do runs an action once for each instance.
func (c *small) do(ctx context.Context, i instance.Instance, name, place, output string) error {
	a, err := c.instances.StartAction(ctx, instance.Action{ID: name + "/" + string(i.ID), Instance: i.Name, Name: name, Place: place,
		Command: []string{"/scripts/" + name}, Context: []byte(`{"n":1}`), TimeoutMS: 600_000})
	if err != nil {
		return err
	}
	if a, err = c.instances.WaitAction(ctx, a.ID); err != nil {
		return err
	}
	if *a.Exit != 0 || strings.TrimSpace(string(a.Output)) != output {
		return fmt.Errorf("action %s of %s: %d, %s, %s", name, i.Name, *a.Exit, a.Output, a.Log)
	}
	return nil
}

func (c *small) lines(id volvox.ID, file string) int {
	b, err := os.ReadFile(filepath.Join(c.data, "volumes", string(id), "data", file))
	if err != nil {
		return -1
	}
	return strings.Count(string(b), "\n")
}
