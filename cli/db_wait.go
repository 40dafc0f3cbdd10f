package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

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
	var l client.Lookout
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
			err = l.Late(name)
		}
		if err != nil {
			return err
		}
		if done, err := l.Look(d, members, time.Now()); done {
			if err != nil {
				a.end(err)
				return exit(exitFailed)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return l.Late(name)
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
