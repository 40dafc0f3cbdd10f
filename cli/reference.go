package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Reference writes the reference of all commands as Markdown, made of what
// their help prints.
func Reference(w io.Writer) {
	a := &app{Streams: Streams{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}
	root := a.command()
	fmt.Fprintf(w, "# The commands of volvox\n\nGenerated from the commands themselves; `volvox help COMMAND` prints the same.\n\n%s\n", root.Short)
	for _, g := range root.Groups() {
		fmt.Fprintf(w, "\n## %s\n", g.Title)
		for _, c := range available(root) {
			if c.GroupID == g.ID {
				referenceOf(w, c)
			}
		}
	}
	for _, c := range root.Commands() {
		if isTopic(c) {
			fmt.Fprintf(w, "\n## Topic: %s\n\n%s\n\n```\n%s\n```\n", c.Name(), c.Short, c.Long)
		}
	}
}

func referenceOf(w io.Writer, c *cobra.Command) {
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n```\n%s\n```\n", c.CommandPath(), c.Short, usageLine(c))
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s\n", c.Long)
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
	}
	for _, g := range flagGroups(c) {
		if g.heading != headingAll {
			fmt.Fprintf(w, "\n%s:\n\n```\n%s\n```\n", g.heading, strings.Join(flagLines(c, g.flags), "\n"))
		}
	}
	for _, sub := range available(c) {
		referenceOf(w, sub)
	}
}
