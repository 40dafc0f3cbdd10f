package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// failedFor is how long a database may be Failed before the wait for it ends:
// what crashed is started again meanwhile.
const failedFor = time.Minute

// lookEvery is how often a database that is waited for is looked at.
const lookEvery = 200 * time.Millisecond

func (a *app) dbWait() *cobra.Command {
	limit := 5 * time.Minute
	cmd := prints(&cobra.Command{
		Use:     "wait NAME",
		Short:   "Wait until a database is Running and each member is ready.",
		Example: "  volvox db create shop --engine postgresql --detach\n  volvox db wait shop --timeout 2m",
		Long: `What is being done to the database is followed first. The exit code is 0 when
it is Running with all members ready, 1 when its operation failed or it has
been Failed for a minute, 3 when there is none (any more), and 7 when the time
is over.`,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit <= 0 {
				return usage(cmd, "--timeout cannot be %s", limit).Because("it is a time such as 30s or 5m")
			}
			return a.with(func(c *client.Client) error {
				ctx, cancel := context.WithTimeout(cmd.Context(), limit)
				defer cancel()
				if err := a.wait(ctx, c, args[0]); err != nil {
					return err
				}
				return a.sayPhase(cmd.Context(), c, args[0])
			})
		},
	}, append(oneFormats, "name")...)
	cmd.Flags().DurationVar(&limit, "timeout", limit, "`time` to wait at most, such as 30s or 10m")
	return cmd
}

// wait returns when a database does all that was asked, or why it will not.
func (a *app) wait(ctx context.Context, c *client.Client, name string) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var l lookout
	for {
		d, err := c.Database(ctx, name)
		if err == nil {
			err = a.operation(ctx, c, d)
		}
		var members []client.Instance
		if err == nil {
			members, err = c.Members(ctx, name)
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = l.late(name)
		}
		if err != nil {
			return err
		}
		if done, err := l.look(d, members, time.Now()); done {
			if err != nil {
				a.end(err)
				return exit(exitFailed)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return l.late(name)
		case <-tick.C:
		}
	}
}

// operation follows what is being done to a database to its end.
func (a *app) operation(ctx context.Context, c *client.Client, d client.Cluster) error {
	if d.Phase != volvox.Pending && d.Phase != volvox.Creating && d.Phase != volvox.Deleting {
		return nil
	}
	w, err := a.follow(ctx, c, d.Workflow)
	if err != nil {
		return err
	}
	if err := result(w); err != nil && volvox.CodeOf(err) != volvox.Busy { // given up for another, which is followed next
		a.end(err)
		return exit(exitFailed)
	}
	return nil
}

// lookout is what is known of a database that is waited for.
type lookout struct {
	failed time.Time // since when it is Failed; zero: it is not
	last   string    // how it is, in words
}

// look says whether the wait is over, and with which error.
func (l *lookout) look(d client.Cluster, members []client.Instance, now time.Time) (bool, error) {
	ready := 0
	for _, m := range members {
		if m.Ready && m.Phase == volvox.Running {
			ready++
		}
	}
	l.last = fmt.Sprintf("it is %s, %d of %d members are ready", d.Phase, ready, d.Replicas)
	if d.Message != "" {
		l.last += ": " + d.Message
	}
	if d.Phase != volvox.Failed {
		l.failed = time.Time{}
		return d.Phase == volvox.Running && ready >= d.Replicas, nil
	}
	if l.failed.IsZero() {
		l.failed = now
	}
	if now.Sub(l.failed) < failedFor {
		return false, nil
	}
	code := d.Code
	if code == "" {
		code = volvox.NotReady
	}
	return true, volvox.Errorf(code, "database %s is Failed", d.Name).About(d.Ref()).Because("%s", l.last).
		WithTry("volvox db events %s", d.Name).WithTry("volvox db logs %s", d.Name)
}

func (l *lookout) late(name string) error {
	e := volvox.Errorf(volvox.StillRunning, "stopped waiting for database %s", name).WithTry("volvox db show %s", name).
		WithTry("volvox db wait %s --timeout 30m", name)
	if l.last != "" {
		e = e.Because("%s", l.last)
	}
	return e
}
