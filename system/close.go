package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/volvox-os/volvox/api"
)

// Ending is what becomes of the instances when a computer stops.
type Ending int

// The endings, each going further than the one before.
const (
	Leave Ending = iota // instances go on running
	Halt                // instances are stopped; their data stays
	Purge               // everything that the computer made is removed
)

// patience is how long instances get to stop, and how long parts get to end.
const (
	haltPatience = 90 * time.Second
	stopPatience = 10 * time.Second
)

// Close stops the computer. It goes through all parts, whatever fails, and
// also ends what was opened only in part. A second call does nothing.
func (s *System) Close(ctx context.Context, how Ending) (err error) {
	if s.lock == nil {
		return nil
	}
	note := func(what string, e error) {
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, e))
		}
	}
	list, _ := s.parts.look()
	for _, p := range list {
		s.parts.set(p.Name, api.PartStopped, "")
	}
	if s.workflows != nil {
		note("stop workflows", within(ctx, stopPatience, s.workflows.Stop))
	}
	if s.agent != nil {
		note("stop instances", s.closeAgent(ctx, how))
	}
	if s.stopServing != nil {
		s.stopServing()
	}
	s.serving.Wait()
	if s.images != nil {
		note("close the images", s.images.Close())
	}
	if s.runtime != nil {
		note("close the containers", s.closeRuntime(ctx, how))
	}
	if s.network != nil && how > Leave {
		note("remove the network", s.network.Purge(ctx))
	}
	if s.kernel != nil {
		note("close the kernel", s.kernel.Close())
	}
	if how == Purge {
		note("remove the computer's files", s.removeFiles())
	}
	s.lock.free()
	s.lock = nil
	return err
}

func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}

func (s *System) closeAgent(ctx context.Context, how Ending) error {
	var err error
	switch how {
	case Halt:
		err = within(ctx, haltPatience, s.agent.Halt)
	case Purge:
		err = within(ctx, haltPatience, s.agent.Clear)
	}
	return errors.Join(err, within(ctx, stopPatience, s.agent.Stop))
}

// closeRuntime lets go of the containers. Where there is none, nothing that
// serves them goes on either.
func (s *System) closeRuntime(ctx context.Context, how Ending) error {
	if how == Leave {
		err := within(ctx, stopPatience, func(ctx context.Context) error {
			all, err := s.runtime.List(ctx)
			if err == nil && len(all) == 0 {
				how = Halt
			}
			return err
		})
		if err != nil {
			s.log.WarnContext(ctx, "cannot tell whether containers run", "error", err)
		}
	}
	switch how {
	case Halt:
		return within(ctx, stopPatience, s.runtime.Shutdown)
	case Purge:
		return within(ctx, haltPatience, s.runtime.Purge)
	}
	return s.runtime.Close()
}

// ours are the names in the data directory that belong to the computer;
// whatever else somebody keeps there stays.
var ours = []string{"kernel.db*", "secret.key*", "token*", "images", "volumes", "logs", "actions", "trash", "containerd", "addons", "up.log", "create.log", "lock"}

func (s *System) removeFiles() error {
	err := unmountBelow(s.layout.Run)
	for _, pattern := range ours {
		names, _ := filepath.Glob(filepath.Join(s.layout.Data, pattern))
		for _, name := range names {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	os.Remove(s.layout.Data) // only if it is empty
	err = errors.Join(err, os.RemoveAll(s.layout.Run))
	os.Remove(filepath.Dir(s.layout.Run)) // only if it is empty
	return err
}

// unmountBelow unmounts everything that is mounted below a directory, the
// innermost first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("read the mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			points = append(points, f[1])
		}
	}
	slices.SortFunc(points, func(a, b string) int { return len(b) - len(a) })
	for _, p := range points {
		if e := syscall.Unmount(p, syscall.MNT_DETACH); e != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", p, e))
		}
	}
	return err
}
