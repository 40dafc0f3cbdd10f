package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// The wait for a database is over when all of it works, or when it has been
// Failed for long; how an operation of long ago ended says nothing.
func TestLook(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	type at struct {
		after time.Duration
		phase volvox.Phase
		ready string // a letter for each member
		done  bool
		code  volvox.Code
	}
	for name, looks := range map[string][]at{
		"running":                  {{0, volvox.Running, "yy", true, ""}},
		"a replica is not ready":   {{0, volvox.Running, "yn", false, ""}, {time.Hour, volvox.Running, "yn", false, ""}, {time.Hour, volvox.Running, "yy", true, ""}},
		"a member is not there":    {{0, volvox.Running, "y", false, ""}},
		"after a restart":          {{0, volvox.Stopped, "nn", false, ""}, {time.Second, volvox.Updating, "nn", false, ""}, {time.Second, volvox.Failed, "nn", false, ""}, {2 * time.Second, volvox.Running, "yy", true, ""}},
		"failed for long":          {{0, volvox.Failed, "nn", false, ""}, {59 * time.Second, volvox.Failed, "nn", false, ""}, {time.Minute, volvox.Failed, "nn", true, volvox.Crashed}},
		"failed again and again":   {{0, volvox.Failed, "nn", false, ""}, {50 * time.Second, volvox.Updating, "nn", false, ""}, {70 * time.Second, volvox.Failed, "nn", false, ""}},
		"stopped is not the error": {{0, volvox.Stopped, "nn", false, ""}, {time.Hour, volvox.Stopped, "nn", false, ""}},
	} {
		var l client.Lookout
		for _, look := range looks {
			var members []client.Instance
			for _, r := range look.ready {
				members = append(members, client.Instance{Phase: volvox.Running, Ready: r == 'y'})
			}
			d := client.Cluster{Name: "shop", Replicas: 2, Phase: look.phase, Code: volvox.Crashed, Message: "exit 1", Workflow: "create-of-long-ago"}
			done, err := l.Look(d, members, begin.Add(look.after))
			if done != look.done || volvox.CodeOf(err) != look.code {
				t.Errorf("%s, after %s: %v, %v", name, look.after, done, err)
			}
			if err != nil && !strings.Contains(err.Error(), "exit 1") {
				t.Errorf("%s: the error does not say why: %v", name, err)
			}
		}
	}
}
