package agent

import (
	"context"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
)

// Control is what an agent needs of the computer. All calls may be repeated.
type Control interface {
	// Register says that this machine is there, with what it has.
	Register(ctx context.Context, m machine.Machine) error
	// Wishes returns everything wished of the machine.
	Wishes(ctx context.Context, machine string) ([]instance.Wish, error)
	// Changed returns a channel that gets a value, coalesced, whenever the
	// wishes of the machine may have changed; it is closed when ctx ends.
	Changed(ctx context.Context, machine string) <-chan struct{}
	// Report records facts; a report for an instance that is no longer there
	// is ignored.
	Report(ctx context.Context, machine string, r instance.Report) error
	// Finish records the result of an action. The first result stays.
	Finish(ctx context.Context, machine string, a instance.Action) error
	// Secret returns the value of a secret that an instance on the machine
	// names in its spec.
	Secret(ctx context.Context, machine string, id volvox.ID, name string) (string, error)
	// ReportImage records an image that is on the machine, or that it is gone.
	ReportImage(ctx context.Context, machine string, i machine.Image) error
}
