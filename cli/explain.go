package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
)

// explained is a code with its exit code.
type explained struct {
	volvox.CodeDoc
	ExitCode int `json:"exit_code"`
}

func (a *app) explainCommand() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "explain [CODE]",
		Short:   "Explain a code of an error, or list all codes.",
		GroupID: groupHelp,
		Example: "  volvox explain E_NO_MEMORY\n  volvox explain --output json",
		Args:    takes("[CODE]"),
		ValidArgsFunction: func(*cobra.Command, []string, string) (codes []string, d cobra.ShellCompDirective) {
			for _, d := range volvox.Codes() {
				codes = append(codes, string(d.Code)+"\t"+d.Meaning)
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				var all []explained
				for _, d := range volvox.Codes() {
					all = append(all, explained{d, ExitCode(d.Kind)})
				}
				return show(a, all, explainedColumns())
			}
			return a.explain(args[0])
		},
	}, listFormats...)
}

func explainedColumns() []column[explained] {
	return []column[explained]{
		{"code", false, func(e explained) cell { return text(string(e.Code)) }},
		{"kind", false, func(e explained) cell { return text(string(e.Kind)) }},
		{"exit_code", false, func(e explained) cell { return text(fmt.Sprint(e.ExitCode)) }},
		{"meaning", false, func(e explained) cell { return text(e.Meaning) }},
		{"try", true, func(e explained) cell { return text(e.Try) }},
	}
}

func (a *app) explain(word string) error {
	code := volvox.Code(strings.ToUpper(word))
	if !strings.HasPrefix(string(code), "E_") {
		code = "E_" + code
	}
	doc, ok := code.Explain()
	if !ok {
		var known []string
		for _, d := range volvox.Codes() {
			known = append(known, string(d.Code))
		}
		return meant(volvox.Errorf(volvox.NotFound, "there is no code %q", word), string(code), known, "volvox explain").WithTry("volvox explain")
	}
	e := explained{doc, ExitCode(doc.Kind)}
	if a.output != "table" && a.output != "wide" {
		if a.output == "json" || a.output == "yaml" {
			return showOne(a, e, nil)
		}
		return show(a, []explained{e}, explainedColumns())
	}
	retry := "no"
	if doc.Kind.Retryable() {
		retry = "yes: the same request may succeed later"
	}
	return showOne(a, e, []field{
		{"code", text(string(doc.Code))}, {"meaning", text(doc.Meaning)}, {"try", text(doc.Try)},
		{"kind", text(string(doc.Kind))}, {"exit code", text(fmt.Sprint(e.ExitCode))}, {"retryable", text(retry)},
	})
}

// version is what `volvox version` prints.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program.",
		GroupID: groupHelp,
		Example: "  volvox version\n  volvox version --output json",
		Args:    takes(),
		RunE: func(*cobra.Command, []string) error {
			v := version{Version: volvox.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Revision = s.Value
					}
				}
			}
			if a.output == "table" {
				fmt.Fprintf(a.Out, "volvox %s %s/%s %s\n", v.Version, v.OS, v.Arch, v.Go)
				return nil
			}
			return showOne(a, v, nil)
		},
	}, oneFormats...)
}
