package cli

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func tree() *cobra.Command {
	a := &app{Streams: Streams{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}
	return a.command()
}

// TestHelpFollowsTheLaw: one sentence, two examples with long flags, every
// flag described, and the overview on one screen.
func TestHelpFollowsTheLaw(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, wrong := range unlawful(c) {
			t.Errorf("%s: %s", c.CommandPath(), wrong)
		}
		for _, sub := range available(c) {
			walk(sub)
		}
	}
	for _, c := range available(tree()) {
		walk(c)
	}
}

func unlawful(c *cobra.Command) (wrong []string) {
	if !strings.HasSuffix(c.Short, ".") || strings.Count(c.Short, ". ") > 0 || len(c.Short) > 78 {
		wrong = append(wrong, "its help is not one short sentence")
	}
	examples := 0
	for line := range strings.Lines(c.Example) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		examples++
		for _, f := range fields {
			if len(f) == 2 && f[0] == '-' && f != "--" {
				wrong = append(wrong, "an example has the short flag "+f)
			}
		}
	}
	if examples < 2 {
		wrong = append(wrong, "it has fewer than two examples")
	}
	for line := range strings.Lines(c.Long) {
		if len(line) > 80 {
			wrong = append(wrong, "a line of its text is longer than 80 characters")
		}
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Usage == "" {
			wrong = append(wrong, "the flag --"+f.Name+" is not described")
		}
	})
	return wrong
}

// TestHelpLawFindsFaults: the checker above is worth something.
func TestHelpLawFindsFaults(t *testing.T) {
	bad := &cobra.Command{Use: "bad", Short: "no dot", Example: "  volvox bad -f x", Long: strings.Repeat("x", 90)}
	bad.Flags().Bool("mute", false, "")
	if got := unlawful(bad); len(got) != 5 {
		t.Errorf("found %q", got)
	}
}

func TestEveryKindHasItsExitCode(t *testing.T) {
	want := map[volvox.Kind]int{
		"": 0, volvox.KindInvalid: 2, volvox.KindNotFound: 3, volvox.KindDenied: 4, volvox.KindConflict: 5, volvox.KindCapacity: 6,
		volvox.KindTimeout: 7, volvox.KindUnavailable: 1, volvox.KindCancelled: 130, volvox.KindCorrupt: 1, volvox.KindInternal: 1,
	}
	for _, d := range volvox.Codes() {
		if _, ok := want[d.Kind]; !ok {
			t.Errorf("%s is of a kind without an exit code: %s", d.Code, d.Kind)
		}
	}
	for kind, code := range want {
		if got := ExitCode(kind); got != code {
			t.Errorf("%q has exit code %d, want %d", kind, got, code)
		}
	}
}

func TestMissingProgram(t *testing.T) {
	a := &app{}
	for program, want := range map[string]string{"program-that-is-nowhere": "install the package", "nothing": "--print-url"} {
		err := a.runProgram("shop", client.Connection{Command: []string{program}}, nil)
		if volvox.CodeOf(err) != volvox.MissingProgram || !strings.Contains(strings.Join(volvox.AsError(err).Try, "\n"), want) {
			t.Errorf("%s: %v, %q", program, err, volvox.AsError(err).Try)
		}
	}
	if err := missingProgram("shop", client.Connection{Command: []string{"program"}, Package: "its-package"}); volvox.AsError(err).Try[0] != "sudo apt-get install its-package" {
		t.Errorf("%q", volvox.AsError(err).Try)
	}
}

func TestDistinctColumns(t *testing.T) {
	got := distinct([]string{"a", "b", "a", "a_2", "a"})
	if want := []string{"a", "b", "a_2", "a_2_2", "a_3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
