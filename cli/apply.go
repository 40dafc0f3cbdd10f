package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func (a *app) applyCommand() *cobra.Command {
	var file string
	var plan, detach bool
	cmd := prints(&cobra.Command{
		Use:     "apply --file FILE",
		Short:   "Make the databases that a YAML file describes.",
		GroupID: groupDatabases,
		Example: "  volvox apply --file shop.yaml --plan\n  volvox apply --file shop.yaml",
		Long: `All that the file describes is checked first; when one thing is refused,
nothing is done. What is there already as described is left alone.
With --plan the exit code is 0 when it could be done.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage(cmd, "volvox apply needs --file")
			}
			content, err := a.readFile(file)
			if err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				done, err := definite(cmd.Context(), func(ctx context.Context) ([]client.Applied, error) {
					return c.Apply(ctx, client.File{Name: file, Text: content, Plan: plan})
				})
				if err != nil {
					return err
				}
				if plan {
					return a.showPlans(plansOf(done)...)
				}
				return a.applied(cmd.Context(), c, done, detach)
			})
		},
	}, append(oneFormats, "name")...)
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` to read; - is stdin")
	cmd.Flags().BoolVar(&plan, "plan", false, "only say what would be done")
	cmd.Flags().BoolVar(&detach, "detach", false, "return at once; the work goes on")
	cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}

func (a *app) readFile(file string) (string, error) {
	if file == "-" {
		b, err := io.ReadAll(a.In)
		return string(b), err
	}
	b, err := os.ReadFile(file)
	var path *fs.PathError
	if errors.As(err, &path) {
		code := volvox.BadFile
		switch {
		case errors.Is(err, fs.ErrNotExist):
			code = volvox.NotFound
		case errors.Is(err, fs.ErrPermission):
			code = volvox.Denied
		}
		return "", volvox.Errorf(code, "%s cannot be read", file).From(path.Err).WithTry("name a file that is there, or - for standard input")
	}
	return string(b), err
}

func plansOf(all []client.Applied) []client.Plan {
	plans := make([]client.Plan, len(all))
	for i, d := range all {
		plans[i] = d.Plan
	}
	return plans
}

// applied follows all that is being made. They are made at the same time, so
// following one after the other costs nothing.
func (a *app) applied(ctx context.Context, c *client.Client, all []client.Applied, detach bool) error {
	if a.output != "table" && a.output != "name" {
		if !detach {
			if err := a.followAll(ctx, c, all); err != nil {
				return err
			}
		}
		names := make([]client.Cluster, len(all))
		for i, d := range all {
			got, err := c.Database(ctx, d.Plan.Cluster)
			if err != nil {
				return err
			}
			names[i] = got
		}
		return showOne(a, names, nil)
	}
	var errs []error
	for _, d := range all {
		if d.Workflow == "" {
			fmt.Fprintf(a.Err, "%s is there as described\n", d.Plan.Cluster)
			errs = append(errs, a.sayPhase(ctx, c, d.Plan.Cluster))
			continue
		}
		errs = append(errs, a.finish(ctx, c, d.Plan.Cluster, d.Workflow, detach))
	}
	return errors.Join(errs...)
}

func (a *app) followAll(ctx context.Context, c *client.Client, all []client.Applied) error {
	var errs []error
	for _, d := range all {
		if d.Workflow == "" {
			continue
		}
		w, err := a.follow(ctx, c, d.Workflow)
		if err == nil {
			err = result(w)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
