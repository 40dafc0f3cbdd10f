package system

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
)

// Up boots a computer, tells ready when it is, and stays until it is told to
// stop: by ctx or SIGTERM, which leave instances running, by SIGINT (Ctrl-C)
// or over the API. A second signal while it stops ends the process at once.
func Up(ctx context.Context, o Options, ready func(api.Status)) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	booting, cancel := context.WithCancel(ctx)
	defer cancel()

	type opened struct {
		s   *System
		err error
	}
	done := make(chan opened, 1)
	go func() {
		s, err := Open(booting, o)
		done <- opened{s, err}
	}()
	how := Leave
	var s *System
	select {
	case r := <-done:
		if r.err != nil {
			return r.err
		}
		s = r.s
		if ready != nil {
			ready(s.Status(ctx))
		}
	case sig := <-signals:
		cancel()
		r := <-done
		if r.err != nil {
			return nil // it was told to stop and has stopped
		}
		s = r.s
		signals <- sig
	}

	select {
	case <-ctx.Done():
	case how = <-s.stop:
	case sig := <-signals:
		if sig == syscall.SIGINT {
			how = Halt
		}
	}
	signal.Reset(syscall.SIGINT, syscall.SIGTERM)
	if o.Log != nil {
		o.Log.Info("stopping", "instances", map[Ending]string{Leave: "go on", Halt: "stop", Purge: "are removed"}[how])
	}
	return s.Close(context.WithoutCancel(ctx), how)
}

// Down stops what a computer that is not up has left running: its instances
// and its containerd. For that it boots it and ends it again. With purge it
// removes all that the computer made, which needs no kernel that can be read.
// Where no computer was made it is E_NOT_FOUND, and nothing is touched.
func Down(ctx context.Context, data string, purge bool, log *slog.Logger) error {
	o := Options{Data: data, Log: log}
	l, err := volvox.LayoutOf(data)
	if err != nil {
		return err
	}
	if !l.Made() {
		return volvox.Errorf(volvox.NotFound, "there is no computer on %s", l.Data).WithTry("name another directory with --data")
	}
	if !purge {
		s, err := Open(ctx, o)
		if err != nil {
			return err
		}
		return s.Close(context.WithoutCancel(ctx), Halt)
	}
	s, err := closed(o)
	if err != nil {
		return err
	}
	steps := []step{{"machine", s.openMachine}, {"network", s.openNetwork}}
	for _, trace := range []string{l.Containerd(), filepath.Join(l.Run, "containerd.toml")} {
		if _, err := os.Lstat(trace); err == nil { // else it never had containers
			steps = append(steps, step{"containers", s.openRuntime})
			break
		}
	}
	if err := s.open(ctx, steps...); err != nil {
		return errors.Join(err, s.Close(context.WithoutCancel(ctx), Leave))
	}
	return s.Close(context.WithoutCancel(ctx), Purge)
}
