package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func (a *app) statusCommand() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "status",
		Short:   "Say whether the computer is ready; the exit code says the same.",
		GroupID: groupComputer,
		Example: "  volvox status\n  volvox status --output json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				s, err := c.Status(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.showStatus(s); err != nil {
					return err
				}
				return notReady(s)
			})
		},
	}, oneFormats...)
}

func (a *app) showStatus(s client.Status) error {
	state := cell{text: "ready", color: green}
	if !s.Ready {
		state = cell{text: "not ready", color: yellow}
	}
	fields := []field{
		{"state", state}, {"machine", text(s.Machine)}, {"data", text(s.Data)}, {"api", text(s.API)}, {"listen", text(s.Listen)},
		{"network", text(s.Network)}, {"version", text(s.Version)}, {"pid", text(fmt.Sprint(s.PID))}, {"started", text(a.ago(s.StartedAt))},
	}
	if err := showOne(a, s, fields); err != nil || a.output != "table" {
		return err
	}
	rows := make([][]cell, len(s.Parts))
	for i, p := range s.Parts {
		rows[i] = []cell{text(p.Name), partCell(p.State), text(p.Message)}
	}
	fmt.Fprintln(a.Out)
	return writeTable(a.Out, a.painter(a.OutTTY), []string{"part", "state", "message"}, rows)
}

func partCell(state string) cell {
	switch state {
	case "ready":
		return cell{text: state, color: green}
	case "failed":
		return cell{text: state, color: red}
	default:
		return cell{text: state, color: yellow}
	}
}

// notReady is the error of a computer that is up but cannot work yet.
func notReady(s client.Status) error {
	if s.Ready {
		return nil
	}
	var missing []string
	for _, p := range s.Parts {
		if p.State != "ready" {
			missing = append(missing, strings.TrimSuffix(p.Name+" is "+p.State+": "+p.Message, ": "))
		}
	}
	e := volvox.Errorf(volvox.NotReady, "the computer is not ready")
	if missing != nil {
		e = e.Because("%s", strings.Join(missing, "; "))
	}
	return e.WithTry("volvox doctor")
}

func (a *app) doctorCommand() *cobra.Command {
	return prints(&cobra.Command{
		Use:     "doctor",
		Short:   "Look for what could be in the way on this machine.",
		GroupID: groupComputer,
		Example: "  volvox doctor\n  volvox doctor --output json",
		Long:    "It needs no computer that is up. The exit code is 1 when a check fails.",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Doctor == nil {
				return volvox.Errorf(volvox.Unsupported, "doctor is not built into this program")
			}
			checks, err := a.Doctor(cmd.Context(), a.data)
			if err != nil {
				return err
			}
			if err := show(a, checks, checkColumns()); err != nil {
				return err
			}
			for _, c := range checks {
				if c.State == "fail" {
					return exit(exitFailed)
				}
			}
			return nil
		},
	}, listFormats...)
}

func checkColumns() []column[client.Check] {
	return []column[client.Check]{
		{"check", false, func(c client.Check) cell { return text(c.Name) }},
		{"state", false, func(c client.Check) cell {
			switch c.State {
			case "ok":
				return cell{c.State, green, "✓"}
			case "warn":
				return cell{c.State, yellow, "!"}
			default:
				return cell{c.State, red, "✗"}
			}
		}},
		{"message", false, func(c client.Check) cell { return text(c.Message) }},
		{"try", false, func(c client.Check) cell { return text(c.Try) }},
	}
}
