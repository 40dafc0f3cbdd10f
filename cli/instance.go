package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// process is an instance with what it uses, null when it does not run.
type process struct {
	client.Instance
	CPUMicros   *int64 `json:"cpu_micros"`
	MemoryBytes *int64 `json:"memory_bytes"`
}

func (a *app) psCommand() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "ps",
		Short:   "List the instances, and what they use.",
		GroupID: groupInside,
		Example: "  volvox ps\n  volvox ps --output json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Instances(cmd.Context())
				if err != nil {
					return err
				}
				used := map[string]client.Metrics{}
				metrics, err := c.Metrics(cmd.Context())
				if err != nil && volvox.CodeOf(err) != volvox.NotReady {
					return err
				}
				for _, m := range metrics {
					used[m.Instance] = m
				}
				rows := make([]process, len(all))
				for i, in := range all {
					rows[i].Instance = in
					if m, ok := used[in.Name]; ok {
						rows[i].CPUMicros, rows[i].MemoryBytes = &m.CPUMicros, &m.MemoryBytes
					}
				}
				return show(a, rows, a.processColumns())
			})
		},
	}, listFormats...)
}

func (a *app) processColumns() []column[process] {
	col := func(name string, f func(p process) string) column[process] {
		return column[process]{name, false, func(p process) cell { return text(f(p)) }}
	}
	wide := func(name string, f func(p process) string) column[process] {
		return column[process]{name, true, func(p process) cell { return text(f(p)) }}
	}
	return []column[process]{
		col("name", func(p process) string { return p.Name }),
		{"phase", false, func(p process) cell { return phaseCell(p.Phase) }},
		col("role", func(p process) string { return p.Role }),
		{"ready", false, func(p process) cell { return yesCell(p.Ready) }},
		col("machine", func(p process) string { return p.Machine }),
		col("address", func(p process) string { return p.Address }),
		col("restarts", func(p process) string { return strconv.Itoa(p.Restarts) }),
		col("age", func(p process) string { return a.when(p.CreatedAt) }),
		col("cpu", func(p process) string {
			if p.CPUMicros == nil {
				return ""
			}
			return took(time.Duration(*p.CPUMicros) * time.Microsecond)
		}),
		col("memory", func(p process) string {
			if p.MemoryBytes == nil {
				return ""
			}
			return volvox.ShowBytes(*p.MemoryBytes)
		}),
		wide("cluster", func(p process) string { return p.Cluster }),
		wide("desired", func(p process) string { return string(p.Desired) }),
		wide("code", func(p process) string { return string(p.Code) }),
		wide("message", func(p process) string { return p.Message }),
		wide("id", func(p process) string { return string(p.ID) }),
	}
}

func yesCell(yes bool) cell {
	if yes {
		return cell{text: "yes", color: green}
	}
	return cell{text: "no", color: yellow}
}

// logFlags are the flags of logs.
type logFlags struct {
	follow bool
	lines  int
}

func (l *logFlags) register(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on with what is printed from now on")
	cmd.Flags().IntVar(&l.lines, "lines", 200, "so many of the last lines of each instance")
	return cmd
}

func (a *app) logsCommand() *cobra.Command {
	var l logFlags
	return l.register(&cobra.Command{
		Use:               "logs NAME",
		Short:             "Print what an instance, or every member of a database, has printed.",
		GroupID:           groupInside,
		Example:           "  volvox logs shop\n  volvox logs shop-pg-0 --lines 50 --follow",
		Long:              "The lines of a database's members begin with the member's name.",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeInstances,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				_, err := c.Instance(cmd.Context(), args[0])
				if err == nil {
					return a.copyLogs(cmd.Context(), c, args[0], "", l)
				}
				if volvox.CodeOf(err) != volvox.NotFound {
					return err
				}
				if err := a.memberLogs(cmd.Context(), c, args[0], l); volvox.CodeOf(err) != volvox.NotFound {
					return err
				}
				return a.nothingToLog(cmd.Context(), c, args[0])
			})
		},
	})
}

func (a *app) nothingToLog(ctx context.Context, c *client.Client, name string) error {
	e := volvox.Errorf(volvox.NotFound, "there is no instance or database %q", name).
		About(volvox.Ref{Kind: "instance", Project: a.project, Name: name})
	var known []string
	all, _ := c.Instances(ctx)
	for _, i := range all {
		known = append(known, i.Cluster, i.Name)
	}
	return meant(e, name, known, "volvox logs").WithTry("volvox ps")
}

// memberLogs prints what the members of a database printed: one after the
// other, or when following all at once.
func (a *app) memberLogs(ctx context.Context, c *client.Client, database string, l logFlags) error {
	members, err := c.Members(ctx, database)
	if err != nil {
		return err
	}
	width := 0
	for _, m := range members {
		width = max(width, len(m.Name))
	}
	prefix := func(name string) string {
		return a.painter(a.OutTTY)(dim, fmt.Sprintf("%-*s |", width, name)) + " "
	}
	if !l.follow {
		for _, m := range members {
			if err := a.copyLogs(ctx, c, m.Name, prefix(m.Name), l); err != nil && volvox.CodeOf(err) != volvox.NotFound {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(members))
	out := a.Out
	a.Out = &lockedWriter{w: out}
	defer func() { a.Out = out }()
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() { errs[i] = a.copyLogs(ctx, c, m.Name, prefix(m.Name), l) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (a *app) copyLogs(ctx context.Context, c *client.Client, name, prefix string, l logFlags) error {
	body, err := c.Logs(ctx, name, l.lines, l.follow)
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReader(body)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			if _, err := io.WriteString(a.Out, prefix+line); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return volvox.Errorf(volvox.Unavailable, "the logs of %s ended early", name).From(err).WithTry("volvox status")
		}
	}
}
