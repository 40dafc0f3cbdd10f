package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox/client"
)

func (a *app) dbEngines() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "engines",
		Short:   "List the engines that a database can have, with versions and topologies.",
		Example: "  volvox db engines\n  volvox db engines --output yaml",
		Long:    "With --output json or yaml the parameters are there, too.",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				all, err := c.Engines(cmd.Context())
				if err != nil {
					return err
				}
				return show(a, all, engineColumns())
			})
		},
	}, listFormats...)
}

func engineColumns() []column[client.Engine] {
	return []column[client.Engine]{
		{"name", false, func(e client.Engine) cell { return text(e.Name) }},
		{"title", false, func(e client.Engine) cell { return text(e.Title) }},
		{"default", false, func(e client.Engine) cell { return text(e.Default) }},
		{"versions", false, func(e client.Engine) cell { return text(strings.Join(e.Versions, " ")) }},
		{"topologies", false, func(e client.Engine) cell { return text(e.Shapes()) }},
		{"description", true, func(e client.Engine) cell { return text(e.Description) }},
	}
}

// completeEngine completes a flag with what pick says of the engine that is
// chosen; of all, while none is.
func (a *app) completeEngine(chosen *string, pick func(client.Engine) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.names(cmd, false, func(ctx context.Context, c *client.Client) (found []string) {
			all, _ := c.Engines(ctx)
			for _, e := range all {
				if *chosen == "" || *chosen == e.Name {
					found = append(found, pick(e)...)
				}
			}
			return found
		})
	}
}

func engineNames(e client.Engine) []string { return []string{e.Name + "\t" + e.Title} }

func engineVersions(e client.Engine) []string { return e.Versions }

func engineTopologies(e client.Engine) (names []string) {
	for _, t := range e.Topologies {
		names = append(names, t.Name+"\t"+t.Doc)
	}
	return names
}

func engineParameters(e client.Engine) (names []string) {
	for _, p := range e.Parameters {
		names = append(names, p.Name+"=\t"+p.Doc)
	}
	return names
}
