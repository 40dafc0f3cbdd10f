package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox/client"
)

func (a *app) workflowCommand() *cobra.Command {
	w := &cobra.Command{
		Use:     "workflow",
		Short:   "Look at what takes longer than one transaction.",
		GroupID: groupInside,
		Example: "  volvox workflow list\n  volvox workflow steps WORKFLOW",
		Args:    cobra.ArbitraryArgs,
		RunE:    runGroup,
	}
	add(w, a.workflowList(), a.workflowShow(), a.workflowSteps(), a.workflowFollow())
	return w
}

func (a *app) workflowList() *cobra.Command {
	var limit int
	cmd := prints(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List workflows, newest first.",
		Example: "  volvox workflow list\n  volvox workflow list --limit 5 --output jsonl",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Workflows(cmd.Context(), "", "", limit)
				if err != nil {
					return err
				}
				return show(a, all, a.workflowColumns())
			})
		},
	}, listFormats...)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many")
	return cmd
}

func (a *app) workflowColumns() []column[client.Workflow] {
	return []column[client.Workflow]{
		{"id", false, func(w client.Workflow) cell { return text(w.ID) }},
		{"name", false, func(w client.Workflow) cell { return text(w.Name) }},
		{"about", false, func(w client.Workflow) cell { return text(strings.TrimSpace(w.Kind + " " + w.Subject)) }},
		{"status", false, func(w client.Workflow) cell { return statusCell(w) }},
		{"age", false, func(w client.Workflow) cell { return text(a.when(w.CreatedAt)) }},
		{"took", false, func(w client.Workflow) cell {
			if w.EndedAt == nil {
				return cell{}
			}
			return text(took(w.EndedAt.Sub(w.CreatedAt)))
		}},
		{"error", true, func(w client.Workflow) cell { return text(errorText(w)) }},
		{"actor", true, func(w client.Workflow) cell { return text(string(w.Actor)) }},
	}
}

func statusCell(w client.Workflow) cell {
	return cell{text: string(w.Status), color: map[string]color{"Succeeded": green, "Failed": red, "Cancelled": dim, "Pending": yellow, "Running": yellow}[string(w.Status)]}
}

func errorText(w client.Workflow) string {
	if w.Error == nil {
		return ""
	}
	return w.Error.Error()
}

func (a *app) workflowShow() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "show WORKFLOW",
		Aliases: []string{"get"},
		Short:   "Show a workflow.",
		Example: "  volvox workflow show WORKFLOW\n  volvox workflow show WORKFLOW --output json",
		Args:    takes("WORKFLOW"),

		ValidArgsFunction: a.completeWorkflows,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				w, err := c.Workflow(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				ended := ""
				if w.EndedAt != nil {
					ended = a.ago(*w.EndedAt)
				}
				return showOne(a, w, []field{
					{"id", text(w.ID)}, {"name", text(w.Name)}, {"about", text(strings.TrimSpace(w.Kind + " " + w.Subject))},
					{"status", statusCell(w)}, {"error", text(errorText(w))}, {"actor", text(string(w.Actor))},
					{"started", text(a.ago(w.CreatedAt))}, {"ended", text(ended)}, {"attempts", text(strconv.FormatInt(w.Attempts, 10))},
					{"input", text(string(w.Input))}, {"output", text(string(w.Output))},
				})
			})
		},
	}, oneFormats...)
}

func (a *app) workflowSteps() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "steps WORKFLOW",
		Short:   "List the recorded steps of a workflow, in order.",
		Example: "  volvox workflow steps WORKFLOW\n  volvox workflow steps WORKFLOW --output json",
		Args:    takes("WORKFLOW"),

		ValidArgsFunction: a.completeWorkflows,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				steps, err := c.Steps(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return show(a, steps, a.stepColumns())
			})
		},
	}, listFormats...)
}

func (a *app) stepColumns() []column[client.Step] {
	return []column[client.Step]{
		{"seq", false, func(s client.Step) cell { return text(strconv.Itoa(s.Seq)) }},
		{"name", false, func(s client.Step) cell { return text(s.Name) }},
		{"kind", false, func(s client.Step) cell { return text(string(s.Kind)) }},
		{"took", false, func(s client.Step) cell { return text(took(s.EndedAt.Sub(s.StartedAt))) }},
		{"age", false, func(s client.Step) cell { return text(a.when(s.EndedAt)) }},
		{"error", false, func(s client.Step) cell {
			if s.Error == nil {
				return cell{}
			}
			return cell{text: s.Error.Error(), color: red}
		}},
		{"output", true, func(s client.Step) cell { return text(string(s.Output)) }},
	}
}

func (a *app) workflowFollow() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "follow WORKFLOW",
		Aliases: []string{"watch"},
		Short:   "Follow a workflow to its end.",
		Example: "  volvox workflow follow WORKFLOW\n  volvox workflow follow WORKFLOW --output json",
		Long:    "The exit code says how the workflow ended.",
		Args:    takes("WORKFLOW"),

		ValidArgsFunction: a.completeWorkflows,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				w, err := a.follow(cmd.Context(), c, args[0])
				if err != nil {
					return err
				}
				if a.output == "table" {
					fmt.Fprintf(a.Out, "%s is %s\n", w.ID, w.Status)
				} else if err := showOne(a, w, nil); err != nil {
					return err
				}
				return result(w)
			})
		},
	}, oneFormats...)
}
