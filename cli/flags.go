package cli

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volvox-os/volvox"
)

// globalFlags stand before or after any command.
func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "", "data `directory` of the computer (default $VOLVOX_DATA, else "+volvox.DefaultData+")")
	f.StringVarP(&a.output, "output", "o", "table", "`format` of what is printed: table, wide, json, jsonl, yaml, csv or name")
	f.StringVar(&a.project, "project", volvox.DefaultProject, "`name` of the project whose things are meant")
	f.StringVar(&a.times, "time", "relative", "`form` of times in tables: relative or iso")
	f.StringVar(&a.color, "color", "auto", "`when` to colour: auto, always or never; NO_COLOR is never")
	f.BoolVar(&a.noColor, "no-color", false, "the same as --color never")
	root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return outputsOf(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	root.RegisterFlagCompletionFunc("time", cobra.FixedCompletions([]string{"relative", "iso"}, cobra.ShellCompDirectiveNoFileComp))
	root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
}

// checkGlobals completes and checks the global flags before a command runs.
func (a *app) checkGlobals(cmd *cobra.Command) error {
	a.data = cmp.Or(a.data, a.Getenv("VOLVOX_DATA"), volvox.DefaultData)
	a.formats = outputsOf(cmd)
	if a.output == "wide" && !slices.Contains(a.formats, "wide") {
		a.output = "table" // there is no more to show
	}
	for _, c := range []struct {
		flag, value string
		allowed     []string
	}{
		{"output", a.output, a.formats},
		{"time", a.times, []string{"relative", "iso"}},
		{"color", a.color, []string{"auto", "always", "never"}},
	} {
		if slices.Contains(c.allowed, c.value) {
			continue
		}
		flag, value := c.flag, c.value
		if flag == "output" {
			a.output = "table" // for printing this error
		}
		e := volvox.Errorf(volvox.BadInput, "--%s cannot be %q", flag, value).Because("%s takes %s", cmd.CommandPath(), volvox.Either(c.allowed))
		if near := volvox.Closest(value, c.allowed); near != "" {
			e = e.WithTry("--%s %s", flag, near)
		}
		return e
	}
	return nil
}

const outputsKey = "outputs"

// prints says which formats a command's -o may have; the first that is not
// table is not special: table is the default.
func prints(cmd *cobra.Command, formats ...string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[outputsKey] = strings.Join(formats, " ")
	return cmd
}

// The formats of lists and of single things.
var (
	listFormats = []string{"table", "wide", "json", "jsonl", "yaml", "csv", "name"}
	oneFormats  = []string{"table", "json", "jsonl", "yaml"}
)

func outputsOf(cmd *cobra.Command) []string {
	if formats, ok := cmd.Annotations[outputsKey]; ok {
		return strings.Fields(formats)
	}
	return []string{"table", "json"} // errors are printed in it, too
}

const flagGroupKey = "group"

// inGroup puts flags under a heading of their own in the help.
func inGroup(cmd *cobra.Command, heading string, names ...string) {
	for _, name := range names {
		cmd.Flags().SetAnnotation(name, flagGroupKey, []string{heading})
	}
}

// badFlag explains a flag that could not be read.
func badFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &bare):
		return usage(cmd, "--%s needs a value", bare.GetFlag().Name)
	case errors.As(err, &wrong):
		kind := map[string]string{"int": "a whole number", "bool": "true or false", "duration": "a time such as 30s or 5m"}[wrong.GetFlag().Value.Type()]
		return usage(cmd, "--%s cannot be %q", wrong.GetFlag().Name, wrong.GetValue()).Because("it is %s", cmp.Or(kind, wrong.Unwrap().Error()))
	case !errors.As(err, &unknown):
		return usage(cmd, "%s", err.Error())
	}
	name := unknown.GetSpecifiedName()
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	dashes := "--"
	if unknown.GetSpecifiedShortnames() != "" {
		dashes = "-"
	}
	e := volvox.Errorf(volvox.BadInput, "%s has no flag %s%s", cmd.CommandPath(), dashes, name)
	if near := volvox.Closest(name, known); near != "" {
		e = e.Because("did you mean --%s?", near)
	}
	return e.WithTry("%s --help", cmd.CommandPath())
}

// usage is the error of a command line that does not make sense.
func usage(cmd *cobra.Command, format string, args ...any) *volvox.Error {
	return volvox.Errorf(volvox.BadInput, format, args...).WithTry("%s --help", cmd.CommandPath())
}

// takes checks that a command has exactly the named arguments; names in
// brackets may be left out.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return usage(cmd, "%s needs %s", cmd.CommandPath(), name).Because("its usage is: %s", cmd.UseLine())
			}
			if i < len(args) && args[i] == "" {
				return usage(cmd, "%s is empty", strings.Trim(name, "[]"))
			}
		}
		if len(args) > len(names) {
			return usage(cmd, "%s does not take %q", cmd.CommandPath(), args[len(names)]).Because("its usage is: %s", cmd.UseLine())
		}
		return nil
	}
}

// runGroup runs a command that only has commands below it.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" { // which is not available in the framework's words
			known = append(append(known, c.Name()), c.Aliases...)
		}
	}
	e := volvox.Errorf(volvox.BadInput, "%s has no command %q", cmd.CommandPath(), word)
	return meant(e, word, known, cmd.CommandPath()).WithTry("%s --help", cmd.CommandPath())
}

// meant adds to the error of a word that is not known the word that was meant,
// if one is near, with the command that takes it.
func meant(e *volvox.Error, word string, known []string, command string) *volvox.Error {
	if near := volvox.Closest(word, known); near != "" {
		e = e.Because("did you mean %q?", near).WithTry("%s %s", command, near)
	}
	return e
}
