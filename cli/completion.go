package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox/client"
)

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print a script that makes a shell complete commands and names.",
		GroupID:   groupHelp,
		Example:   "  source <(volvox completion bash)\n  volvox completion fish > ~/.config/fish/completions/volvox.fish",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      takes("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return a.root.GenBashCompletionV2(a.Out, true)
			case "zsh":
				return a.root.GenZshCompletion(a.Out)
			case "fish":
				return a.root.GenFishCompletion(a.Out, true)
			}
			return usage(cmd, "there is no completion for %q", args[0]).Because("it is for bash, zsh or fish")
		},
	}
}

// completionTime is how long a person who presses Tab waits at most.
const completionTime = time.Second

// names asks the computer for names to complete; without one there are none.
func (a *app) names(cmd *cobra.Command, done bool, ask func(ctx context.Context, c *client.Client) []string) ([]string, cobra.ShellCompDirective) {
	if done || a.checkGlobals(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	var found []string
	a.with(func(c *client.Client) error {
		found = ask(ctx, c)
		return nil
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeDatabases(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, len(args) > 0, databaseNames)
}

func (a *app) completeInstances(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, len(args) > 0, func(ctx context.Context, c *client.Client) []string {
		found := databaseNames(ctx, c)
		all, _ := c.Instances(ctx)
		for _, i := range all {
			found = append(found, i.Name)
		}
		return found
	})
}

func (a *app) completeWorkflows(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, len(args) > 0, func(ctx context.Context, c *client.Client) (found []string) {
		all, _ := c.Workflows(ctx, "", "", 50)
		for _, w := range all {
			found = append(found, w.ID+"\t"+w.Name+" "+w.Subject+", "+string(w.Status))
		}
		return found
	})
}

func databaseNames(ctx context.Context, c *client.Client) (found []string) {
	all, _ := c.Databases(ctx)
	for _, d := range all {
		found = append(found, d.Name)
	}
	return found
}
