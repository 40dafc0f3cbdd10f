package cli

import (
	"context"
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
	f.register(a, cmd)
	return cmd
}

func (f *createFlags) register(a *app, cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.engine, "engine", "", "`engine`; volvox db engines lists them")
	fl.StringVar(&f.version, "version", "", "`version` of the engine (default the addon's)")
	fl.StringVar(&f.topology, "topology", "", "`topology` (default chosen by the number of replicas)")
	fl.IntVar(&f.replicas, "replicas", 1, "`number` of all members")
	fl.StringArrayVar(&f.params, "param", nil, "a parameter of the engine, `name=value`; may be repeated")
	fl.StringVar(&f.cpu, "cpu", "", "`cpus`, such as 500m or 2 (default the addon's)")
	fl.StringVar(&f.memory, "memory", "", "`bytes`, such as 512Mi (default the addon's)")
	fl.StringVar(&f.storage, "storage", "", "`bytes`, such as 10Gi (default the addon's)")
	fl.BoolVar(&f.plan, "plan", false, "only say what would be done")
	fl.BoolVar(&f.detach, "detach", false, "return at once; the work goes on")
	for _, name := range []string{"replicas", "cpu", "memory", "storage"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	none := ""
	cmd.RegisterFlagCompletionFunc("engine", a.completeEngine(&none, engineNames))
	cmd.RegisterFlagCompletionFunc("version", a.completeEngine(&f.engine, engineVersions))
	cmd.RegisterFlagCompletionFunc("topology", a.completeEngine(&f.engine, engineTopologies))
	cmd.RegisterFlagCompletionFunc("param", a.completeEngine(&f.engine, engineParameters))
	inGroup(cmd, headingWhat, "engine", "version", "topology", "replicas", "param")
	inGroup(cmd, headingSize, "cpu", "memory", "storage")
	inGroup(cmd, headingHow, "plan", "detach")
}

// wish reads the flags. Everything that is wrong with them is told at once.
func (f *createFlags) wish(cmd *cobra.Command, name string) (client.Wish, error) {
	w := client.Wish{Name: name, Engine: f.engine, Version: f.version, Topology: f.topology, Replicas: f.replicas}
	var wrong []*volvox.Error
	if f.engine == "" {
		wrong = append(wrong, usage(cmd, "%s needs --engine", cmd.CommandPath()).WithTry("volvox db engines"))
	}
	if err := volvox.CheckName("database", name); err != nil {
		wrong = append(wrong, volvox.AsError(err))
	}
	if f.replicas < 1 {
		wrong = append(wrong, usage(cmd, "--replicas cannot be %d", f.replicas).Because("it counts all members, and a database has at least one"))
	}
	wrong = append(wrong, f.sizes(cmd, &w)...)
	for _, p := range f.params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			wrong = append(wrong, usage(cmd, "--param cannot be %q", p).Because("a parameter is written name=value"))
			continue
		}
		if _, twice := w.Params[key]; twice {
			wrong = append(wrong, usage(cmd, "--param %s is there twice", key))
		}
		if w.Params == nil {
			w.Params = map[string]string{}
		}
		w.Params[key] = value
	}
	return w, together(cmd, wrong)
}

// sizes reads the flags that are amounts.
func (f *createFlags) sizes(cmd *cobra.Command, w *client.Wish) (wrong []*volvox.Error) {
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
		amount, err := q.parse(q.text)
		if err != nil {
			e := volvox.AsError(err)
			e.What = "--" + q.flag + ": " + e.What
			wrong = append(wrong, e)
		}
		*q.to = amount
	}
	return wrong
}

// together is one error for all that is wrong with a command line; nil if
// nothing is.
func together(cmd *cobra.Command, wrong []*volvox.Error) error {
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return wrong[0]
	}
	var all []string
	for _, e := range wrong {
		text := e.What
		if cause := e.Cause(); cause != "" {
			text += ": " + cause
		}
		all = append(all, text)
	}
	return usage(cmd, "%d things are wrong with this command line", len(wrong)).Because("%s", strings.Join(all, "\n"))
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
