package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volvox-os/volvox"
)

// printHelp prints what a command does, how it is used, examples and its
// flags in groups. It goes to stdout: it was asked for.
func (a *app) printHelp(cmd *cobra.Command, _ []string) {
	if cmd == a.root {
		a.printOverview(cmd)
		return
	}
	writeHelp(a.Out, a.painter(a.OutTTY), cmd)
}

func writeHelp(w io.Writer, paint func(color, string) string, cmd *cobra.Command) {
	fmt.Fprintln(w, cmd.Short)
	if isTopic(cmd) {
		fmt.Fprintf(w, "\n%s\n", cmd.Long)
		return
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\n%s\n%s\n", paint(bold, "Examples"), cmd.Example)
	}
	fmt.Fprintf(w, "\n%s\n  %s\n", paint(bold, "Usage"), usageLine(cmd))
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\n%s\n  %s\n", paint(bold, "Also called"), strings.Join(cmd.Aliases, ", "))
	}
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.Long)
	}
	if subs := available(cmd); len(subs) > 0 {
		fmt.Fprintf(w, "\n%s\n", paint(bold, "Commands"))
		width := 0
		for _, c := range subs {
			width = max(width, len(c.Name()))
		}
		for _, c := range subs {
			fmt.Fprintf(w, "  %-*s  %s\n", width, c.Name(), c.Short)
		}
	}
	for _, g := range flagGroups(cmd) {
		fmt.Fprintf(w, "\n%s\n", paint(bold, g.heading))
		for _, line := range flagLines(cmd, g.flags) {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// printOverview is the help of the program itself: one screen, by what people
// want to do.
func (a *app) printOverview(root *cobra.Command) {
	paint := a.painter(a.OutTTY)
	fmt.Fprintf(a.Out, "%s\n\n%s\n", root.Short, paint(bold, "Examples"))
	fmt.Fprint(a.Out, `  volvox up                                    make this machine a computer
  volvox db create shop --engine postgresql    create a database
  volvox sql "SELECT * FROM instances"         ask the computer about itself
`)
	for _, g := range root.Groups() {
		fmt.Fprintf(a.Out, "\n%s\n", paint(bold, g.Title))
		for _, c := range available(root) {
			if c.GroupID == g.ID {
				fmt.Fprintf(a.Out, "  %-12s %s\n", c.Name(), c.Short)
			}
		}
	}
	var topics []string
	for _, c := range root.Commands() {
		if isTopic(c) {
			topics = append(topics, c.Name())
		}
	}
	fmt.Fprintf(a.Out, "\n`volvox COMMAND --help` says more; `volvox help TOPIC` explains %s.\n", strings.Join(topics, ", "))
	fmt.Fprintln(a.Out, "Flags of all commands: --data --project --output --time --color (`volvox help flags`)")
}

func isTopic(c *cobra.Command) bool { return c.IsAdditionalHelpTopicCommand() && c.Long != "" }

func available(cmd *cobra.Command) (subs []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			subs = append(subs, c)
		}
	}
	slices.SortStableFunc(subs, func(a, b *cobra.Command) int { return cmp.Compare(a.Annotations[orderKey], b.Annotations[orderKey]) })
	return subs
}

// usageLine is the command with its arguments and, if it has flags of its
// own, [flags].
func usageLine(cmd *cobra.Command) string {
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	return line
}

type flagGroup struct {
	heading string
	flags   []*pflag.Flag
}

// flagGroups returns the flags of a command: its own, by heading, and then
// those of all commands.
func flagGroups(cmd *cobra.Command) (groups []flagGroup) {
	add := func(heading string, f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.heading == heading })
		if i < 0 {
			groups, i = append(groups, flagGroup{heading: heading}), len(groups)
		}
		groups[i].flags = append(groups[i].flags, f)
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		heading := "Flags"
		if h := f.Annotations[flagGroupKey]; len(h) > 0 {
			heading = h[0]
		}
		add(heading, f)
	})
	slices.SortStableFunc(groups, func(a, b flagGroup) int { return cmp.Compare(headingPlace(a.heading), headingPlace(b.heading)) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { add(headingAll, f) })
	return groups
}

// headingPlace puts what a command is about before how it goes about it.
func headingPlace(heading string) int {
	return slices.Index([]string{headingWhat, headingSize, "Flags", headingHow}, heading)
}

// The headings of flags.
const (
	headingWhat = "What"
	headingSize = "Size of each member"
	headingHow  = "How it is done"
	headingAll  = "Flags of all commands"
)

// flagLines describes flags, aligned.
func flagLines(cmd *cobra.Command, flags []*pflag.Flag) (lines []string) {
	left := make([]string, len(flags))
	width := 0
	for i, f := range flags {
		kind, _ := pflag.UnquoteUsage(f)
		left[i] = "--" + f.Name
		if f.Shorthand != "" {
			left[i] = "-" + f.Shorthand + ", " + left[i]
		}
		if kind != "" {
			left[i] += " " + strings.ToUpper(kind)
		}
		width = max(width, len(left[i]))
	}
	for i, f := range flags {
		_, doc := pflag.UnquoteUsage(f)
		if f.Name == "output" {
			doc = "format of what is printed: " + volvox.Either(outputsOf(cmd))
		}
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			if !strings.Contains(doc, "(default") {
				doc += " (default " + f.DefValue + ")"
			}
		}
		lines = append(lines, fmt.Sprintf("%-*s  %s", width, left[i], doc))
	}
	return lines
}

// helpCommand is `volvox help`.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND | TOPIC]",
		Short:   "Explain a command or a topic.",
		GroupID: groupHelp,
		Example: "  volvox help db create\n  volvox help exit-codes",
		Args:    cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, d cobra.ShellCompDirective) {
			for _, c := range a.root.Commands() {
				if c.IsAvailableCommand() || isTopic(c) {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at := a.root
			for _, word := range args {
				i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == word || c.HasAlias(word) })
				if i < 0 {
					return noHelp(at, word)
				}
				at = at.Commands()[i]
			}
			return at.Help()
		},
	}
}

func noHelp(at *cobra.Command, word string) error {
	var known []string
	for _, c := range at.Commands() {
		known = append(known, c.Name())
	}
	e := volvox.Errorf(volvox.BadInput, "there is no help about %q", word)
	return meant(e, word, known, strings.Replace(at.CommandPath(), "volvox", "volvox help", 1)).WithTry("volvox help")
}
