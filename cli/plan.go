package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// showPlans prints what would be done; a refusal is its error, of several the
// first.
func (a *app) showPlans(plans ...client.Plan) error {
	switch {
	case a.output == "table":
		for _, p := range plans {
			if err := a.printPlan(p, len(plans) > 1); err != nil {
				return err
			}
		}
	case a.output == "name":
		for _, p := range plans {
			fmt.Fprintln(a.Out, p.Cluster)
		}
	case len(plans) == 1:
		if err := showOne(a, plans[0], nil); err != nil {
			return err
		}
	default:
		if err := showOne(a, plans, nil); err != nil {
			return err
		}
	}
	for _, p := range plans {
		if p.Error != nil {
			return p.Error
		}
	}
	return nil
}

// printPlan prints one plan for people. One of several says why it is refused;
// of a single one that is the error of the command.
func (a *app) printPlan(p client.Plan, several bool) error {
	switch {
	case p.Action == "none":
		fmt.Fprintf(a.Out, "%s: no change\n", p.Cluster)
		return nil
	case p.Error != nil && several:
		fmt.Fprintf(a.Out, "%s: %s: %s\n", p.Cluster, p.Action, oneLine(p.Error.Error()))
		return nil
	case p.Error != nil:
		fmt.Fprintf(a.Out, "%s: %s\n", p.Cluster, p.Action)
		return nil
	}
	fmt.Fprintf(a.Out, "%s: %s %s %s, %s\n", p.Cluster, p.Action, p.Engine, p.Version, p.Topology)
	if len(p.Params) > 0 {
		var set []string
		for _, name := range slices.Sorted(maps.Keys(p.Params)) {
			set = append(set, name+"="+p.Params[name])
		}
		fmt.Fprintf(a.Out, "parameters: %s\n", oneLine(strings.Join(set, " ")))
	}
	rows := make([][]cell, len(p.Members))
	for i, m := range p.Members {
		rows[i] = []cell{text(m.Name), text(m.Machine), text(volvox.FormatCPU(m.CPUMillis)), text(volvox.FormatBytes(m.MemoryBytes)), text(volvox.FormatBytes(m.StorageBytes))}
	}
	if err := writeTable(a.Out, a.painter(a.OutTTY), []string{"member", "machine", "cpu", "memory", "storage"}, rows); err != nil {
		return err
	}
	for i, s := range p.Steps {
		fmt.Fprintf(a.Out, "%4d. %s\n", i+1, oneLine(s))
	}
	return nil
}
