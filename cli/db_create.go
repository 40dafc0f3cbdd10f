package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// createFlags are the flags of db create as they were written.
type createFlags struct {
	engine, version, topology string
	replicas                  int
	cpu, memory, storage      string
	params                    []string
	plan, detach              bool
}

func (a *app) dbCreate() *cobra.Command {
	var f createFlags
	cmd := prints(&cobra.Command{
		Use:   "create NAME --engine ENGINE",
		Short: "Create a database; returns when every member is ready.",
		Example: `  volvox db create shop --engine postgresql
  volvox db create shop --engine postgresql --replicas 2 --memory 1Gi --param max_connections=200
  volvox db create cache --engine redis --plan`,
		Long:              "Ctrl-C stops waiting, with exit code 7; the work goes on.",
		Args:              takes("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions, // a new name
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := f.wish(cmd, args[0])
			if err != nil {
				return err
			}
			return a.with(func(c *client.Client) error { return a.createDatabase(cmd.Context(), c, w, f) })
		},
	}, append(oneFormats, "name")...)
	f.register(cmd)
	return cmd
}

func (f *createFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.engine, "engine", "", "`engine`; volvox sql \"SELECT name FROM addons\" lists them")
	fl.StringVar(&f.version, "version", "", "`version` of the engine (default the addon's)")
	fl.StringVar(&f.topology, "topology", "", "`topology` (default chosen by the number of replicas)")
	fl.IntVar(&f.replicas, "replicas", 1, "`number` of all members")
	fl.StringArrayVar(&f.params, "param", nil, "a parameter of the engine, `name=value`; may be repeated")
	fl.StringVar(&f.cpu, "cpu", "", "`cpus`, such as 500m or 2 (default the addon's)")
	fl.StringVar(&f.memory, "memory", "", "`bytes`, such as 512Mi (default the addon's)")
	fl.StringVar(&f.storage, "storage", "", "`bytes`, such as 10Gi (default the addon's)")
	fl.BoolVar(&f.plan, "plan", false, "only say what would be done")
	fl.BoolVar(&f.detach, "detach", false, "return at once; the work goes on")
	for _, name := range []string{"engine", "version", "topology", "replicas", "param", "cpu", "memory", "storage"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	inGroup(cmd, headingWhat, "engine", "version", "topology", "replicas", "param")
	inGroup(cmd, headingSize, "cpu", "memory", "storage")
	inGroup(cmd, headingHow, "plan", "detach")
}

// wish reads the flags.
func (f *createFlags) wish(cmd *cobra.Command, name string) (w client.Wish, err error) {
	w = client.Wish{Name: name, Engine: f.engine, Version: f.version, Topology: f.topology, Replicas: f.replicas}
	if f.engine == "" {
		return w, usage(cmd, "%s needs --engine", cmd.CommandPath()).WithTry(`volvox sql "SELECT name, title FROM addons"`)
	}
	if err := volvox.CheckName("database", name); err != nil {
		return w, err
	}
	if f.replicas < 1 {
		return w, usage(cmd, "--replicas cannot be %d", f.replicas).Because("it counts all members, and a database has at least one")
	}
	for _, q := range []struct {
		flag, text string
		parse      func(string) (int64, error)
		to         *int64
	}{
		{"cpu", f.cpu, volvox.ParseCPU, &w.CPUMillis},
		{"memory", f.memory, volvox.ParseBytes, &w.MemoryBytes},
		{"storage", f.storage, volvox.ParseBytes, &w.StorageBytes},
	} {
		if !cmd.Flags().Changed(q.flag) {
			continue
		}
		if *q.to, err = q.parse(q.text); err != nil {
			e := volvox.AsError(err)
			e.What = "--" + q.flag + ": " + e.What
			return w, e
		}
	}
	for _, p := range f.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return w, usage(cmd, "--param cannot be %q", p).Because("a parameter is written name=value")
		}
		if _, twice := w.Params[key]; twice {
			return w, usage(cmd, "--param %s is there twice", key)
		}
		if w.Params == nil {
			w.Params = map[string]string{}
		}
		w.Params[key] = value
	}
	return w, nil
}

func (a *app) createDatabase(ctx context.Context, c *client.Client, w client.Wish, f createFlags) error {
	if f.plan {
		p, err := c.PlanDatabase(ctx, w)
		if err != nil {
			return err
		}
		return a.showPlans(p)
	}
	d, err := definite(ctx, func(ctx context.Context) (client.Cluster, error) { return c.CreateDatabase(ctx, w) })
	if err != nil {
		return err
	}
	if err := a.finish(ctx, c, d.Name, d.Workflow, f.detach); err != nil {
		return err
	}
	a.next("volvox db connect %s", d.Name)
	return nil
}

// showPlans prints what would be done; a refusal is its error.
func (a *app) showPlans(plans ...client.Plan) error {
	switch {
	case a.output == "table":
		for _, p := range plans {
			fmt.Fprintf(a.Out, "%s: %s\n", p.Cluster, p.Action)
			for i, s := range p.Steps {
				fmt.Fprintf(a.Out, "%4d. %s\n", i+1, oneLine(s))
			}
		}
	case a.output == "name":
		for _, p := range plans {
			fmt.Fprintln(a.Out, p.Cluster)
		}
	case len(plans) == 1:
		if err := showOne(a, plans[0], nil); err != nil {
			return err
		}
	default:
		if err := showOne(a, plans, nil); err != nil {
			return err
		}
	}
	for _, p := range plans {
		if p.Error != nil {
			return p.Error
		}
	}
	return nil
}
