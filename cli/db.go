package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func (a *app) dbCommand() *cobra.Command {
	db := &cobra.Command{
		Use:     "db",
		Aliases: []string{"database"},
		Short:   "Create, use and delete databases.",
		GroupID: groupDatabases,
		Example: "  volvox db create shop --engine postgresql --replicas 2\n  volvox db connect shop",
		Args:    cobra.ArbitraryArgs,
		RunE:    runGroup,
	}
	add(db, a.dbCreate(), a.dbList(), a.dbShow(), a.dbConnect(), a.dbLogs(), a.dbEvents(), a.dbWait(), a.dbDelete(), a.dbEngines())
	return db
}

func (a *app) dbList() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the databases.",
		Example: "  volvox db list\n  volvox db list --output name",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Databases(cmd.Context())
				if err != nil {
					return err
				}
				members, err := c.Instances(cmd.Context())
				if err != nil {
					return err
				}
				return show(a, all, a.clusterColumns(members))
			})
		},
	}, listFormats...)
}

func (a *app) clusterColumns(members []client.Instance) []column[client.Cluster] {
	col := func(name string, wide bool, f func(c client.Cluster) string) column[client.Cluster] {
		return column[client.Cluster]{name, wide, func(c client.Cluster) cell { return text(f(c)) }}
	}
	ready := func(c client.Cluster) string {
		n := 0
		for _, m := range members {
			if m.Cluster == c.Name && m.Project == c.Project && m.Ready {
				n++
			}
		}
		return fmt.Sprintf("%d/%d", n, c.Replicas)
	}
	return []column[client.Cluster]{
		col("name", false, func(c client.Cluster) string { return c.Name }),
		col("engine", false, func(c client.Cluster) string { return c.Engine }),
		col("version", false, func(c client.Cluster) string { return c.Version }),
		{"phase", false, func(c client.Cluster) cell { return phaseCell(c.Phase) }},
		col("ready", false, ready),
		col("age", false, func(c client.Cluster) string { return a.when(c.CreatedAt) }),
		col("message", false, func(c client.Cluster) string { return c.Message }),
		col("topology", true, func(c client.Cluster) string { return c.Topology }),
		col("cpu", true, func(c client.Cluster) string { return volvox.FormatCPU(c.CPUMillis) }),
		col("memory", true, func(c client.Cluster) string { return volvox.FormatBytes(c.MemoryBytes) }),
		col("storage", true, func(c client.Cluster) string { return volvox.FormatBytes(c.StorageBytes) }),
		col("workflow", true, func(c client.Cluster) string { return c.Workflow }),
	}
}

// shown is a database with its members.
type shown struct {
	client.Cluster
	Instances []client.Instance `json:"instances"`
}

func (a *app) dbShow() *cobra.Command {
	return prints(&cobra.Command{
		Use:               "show NAME",
		Aliases:           []string{"get"},
		Short:             "Show a database and its members.",
		Example:           "  volvox db show shop\n  volvox db show shop --output json",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				d, err := c.Database(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				members, err := c.Members(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showDatabase(shown{d, members})
			})
		},
	}, oneFormats...)
}

func (a *app) showDatabase(d shown) error {
	var params []string
	for _, k := range slices.Sorted(maps.Keys(d.Params)) {
		params = append(params, k+"="+d.Params[k])
	}
	project := d.Project
	if project == volvox.DefaultProject {
		project = ""
	}
	err := showOne(a, d, []field{
		{"name", text(d.Name)}, {"project", text(project)}, {"phase", phaseCell(d.Phase)},
		{"code", cell{text: string(d.Code), color: red}}, {"message", text(d.Message)},
		{"engine", text(d.Engine + " " + d.Version)}, {"topology", text(d.Topology)}, {"replicas", text(strconv.Itoa(d.Replicas))},
		{"each", text(fmt.Sprintf("%s CPU, %s memory, %s storage", volvox.FormatCPU(d.CPUMillis), volvox.FormatBytes(d.MemoryBytes), volvox.FormatBytes(d.StorageBytes)))},
		{"params", text(strings.Join(params, " "))}, {"created", text(a.ago(d.CreatedAt))}, {"workflow", text(d.Workflow)},
	})
	if err != nil || a.output != "table" {
		return err
	}
	rows := make([][]cell, len(d.Instances))
	for i, m := range d.Instances {
		rows[i] = []cell{text(m.Name), phaseCell(m.Phase), text(m.Role), yesCell(m.Ready), text(m.Machine), text(m.Address), text(m.Message)}
	}
	fmt.Fprintln(a.Out)
	return writeTable(a.Out, a.painter(a.OutTTY), []string{"instance", "phase", "role", "ready", "machine", "address", "message"}, rows)
}

func (a *app) dbLogs() *cobra.Command {
	var l logFlags
	return l.register(&cobra.Command{
		Use:               "logs NAME",
		Short:             "Print what the members of a database have printed.",
		Example:           "  volvox db logs shop\n  volvox db logs shop --lines 20 --follow",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error { return a.memberLogs(cmd.Context(), c, args[0], l) })
		},
	})
}

func (a *app) dbEvents() *cobra.Command {
	var limit int
	var all bool
	cmd := prints(&cobra.Command{
		Use:               "events NAME",
		Short:             "List what happened to a database and its members since it was created.",
		Example:           "  volvox db events shop\n  volvox db events shop --time iso --limit 20",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				events, err := c.DatabaseEvents(cmd.Context(), args[0], limit, all)
				if err != nil {
					return err
				}
				return show(a, events, a.eventColumns())
			})
		},
	}, listFormats...)
	cmd.Flags().IntVar(&limit, "limit", 200, "at most so many of the newest")
	cmd.Flags().BoolVar(&all, "all", false, "also what happened to earlier databases of the name")
	return cmd
}

func (a *app) eventColumns() []column[client.Event] {
	return []column[client.Event]{
		{"age", false, func(e client.Event) cell { return text(a.when(e.CreatedAt)) }},
		{"level", false, func(e client.Event) cell {
			return cell{text: e.Level, color: map[string]color{"error": red, "warning": yellow}[e.Level]}
		}},
		{"kind", false, func(e client.Event) cell { return text(e.Kind) }},
		{"name", false, func(e client.Event) cell { return text(e.Name) }},
		{"code", false, func(e client.Event) cell { return text(string(e.Code)) }},
		{"message", false, func(e client.Event) cell { return text(e.Message) }},
	}
}

// deleted is a database that is not there any more.
type deleted struct {
	Project string       `json:"project"`
	Name    string       `json:"name"`
	Phase   volvox.Phase `json:"phase"`
}

// sayPhase ends a change of a database: on stdout, what it is now.
func (a *app) sayPhase(ctx context.Context, c *client.Client, name string) error {
	d, err := c.Database(ctx, name)
	gone := volvox.CodeOf(err) == volvox.NotFound
	if gone {
		d.Phase = volvox.Deleted
	} else if err != nil {
		return err
	}
	switch {
	case a.output == "table":
		p := phaseCell(d.Phase)
		fmt.Fprintf(a.Out, "%s is %s\n", name, a.painter(a.OutTTY)(p.color, p.text))
	case a.output == "name":
		fmt.Fprintln(a.Out, name)
	case gone: // nothing else is known of it
		return showOne(a, deleted{a.project, name, volvox.Deleted}, nil)
	default:
		return showOne(a, d, nil)
	}
	return nil
}

func (a *app) dbDelete() *cobra.Command {
	var yes, detach bool
	cmd := prints(&cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm"},
		Short:             "Delete a database with its data.",
		Example:           "  volvox db delete shop\n  volvox db delete shop --yes --detach",
		Long:              "It asks for the name to be typed. It returns when all is gone.",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				name := args[0]
				if !yes {
					if !a.InTTY { // before anything else: it must not depend on what there is
						return a.confirm(cmd, "", name)
					}
					if _, err := c.Database(cmd.Context(), name); err != nil {
						return err
					}
					if err := a.confirm(cmd, "This deletes the database "+name+" and its data.", name); err != nil {
						return err
					}
				}
				removal, err := definite(cmd.Context(), func(ctx context.Context) (client.Removal, error) { return c.DeleteDatabase(ctx, name) })
				if err != nil {
					return err
				}
				return a.finish(cmd.Context(), c, name, removal.Workflow, detach)
			})
		},
	}, append(oneFormats, "name")...)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&detach, "detach", false, "return at once; the work goes on")
	return cmd
}

// finish follows the workflow of a change to its end, or not when detached,
// and prints what became of the database.
func (a *app) finish(ctx context.Context, c *client.Client, name, workflow string, detach bool) error {
	if detach {
		fmt.Fprintf(a.Err, "it goes on as workflow %s\n", workflow)
		return a.sayPhase(ctx, c, name)
	}
	w, err := a.follow(ctx, c, workflow)
	if err == nil {
		err = result(w)
	}
	if err != nil {
		return err
	}
	return a.sayPhase(ctx, c, name)
}
