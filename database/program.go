package database

import (
	"github.com/volvox-os/volvox/addon"
)

// step is one step of making a database. The whole list is made once, from
// the wish and the addon, and recorded: a workflow that is taken over by a
// process with other addons goes on with the list it had.
type step struct {
	Name string `json:"name"` // in words, unique in its list
	Do   verb   `json:"do"`
	// What the verb is done to; for the first ones, all members.
	Part    string `json:"part,omitempty"`
	Ordinal int    `json:"ordinal,omitempty"`
	Action  string `json:"action,omitempty"`
	// For whom the action is run, if not for the member that runs it.
	Joining int `json:"joining,omitempty"`
}

type verb string

// The verbs.
const (
	doPlace   verb = "place"   // choose machines; write the rows of the members, stopped
	doPrepare verb = "prepare" // wait until a member's image, volumes and address are there
	doAct     verb = "act"     // run an action of the addon in a member
	doStart   verb = "start"   // wish that a member runs, and wait until it is ready
	doOpen    verb = "open"    // the cluster is Running
)

// program is the steps that make the database. The first member of each
// component gets its data by the action init; when it is ready, the action
// setup makes accounts in it; then each other member is announced to it (join)
// and gets a copy of its data (seed). An action that the addon does not have
// is left out.
//
// All members are wished for stopped by the first step, so that their images
// and volumes are made at the same time; waiting for each in turn costs
// nothing then.
func program(b blueprint) []step {
	steps := []step{{Name: "place members", Do: doPlace}}
	for _, p := range b.parts {
		names := b.members(p)
		act := func(name, action string, ordinal, joining int) {
			if _, can := p.kind.Actions[action]; can {
				steps = append(steps, step{Name: name, Do: doAct, Part: p.name, Ordinal: ordinal, Action: action, Joining: joining})
			}
		}
		whole := b.wish.Name
		if len(b.parts) > 1 {
			whole += "-" + p.name
		}
		for i, member := range names {
			steps = append(steps, step{Name: "prepare " + member, Do: doPrepare, Part: p.name, Ordinal: i})
			if i == 0 {
				act("init "+member, addon.ActionInit, 0, 0)
			} else {
				act("join "+member, addon.ActionJoin, 0, i)
				act("seed "+member, addon.ActionSeed, i, 0)
			}
			steps = append(steps, step{Name: "start " + member, Do: doStart, Part: p.name, Ordinal: i})
			if i == 0 {
				act("set up "+whole, addon.ActionSetup, 0, 0)
			}
		}
	}
	return append(steps, step{Name: "open " + b.wish.Name, Do: doOpen})
}
