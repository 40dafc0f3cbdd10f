package api

import (
	"context"
	"net/http"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/workflow"
)

// Workflows is what the API needs of the workflows; a *workflow.Engine is one.
type Workflows interface {
	List(ctx context.Context, f workflow.Filter) ([]workflow.Info, error)
	Get(ctx context.Context, id string) (workflow.Info, error)
	Steps(ctx context.Context, id string) ([]workflow.StepInfo, error)
}

// Progress is something that is being done for a workflow, in words.
type Progress struct {
	Ref     volvox.Ref `json:"ref" doc:"The thing it is done to."`
	Message string     `json:"message"`
}

func (s *server) workflowRoutes() {
	list(s, route(http.MethodGet, "/v1/workflows", "list-workflows", "Workflows, newest first"), func(ctx context.Context, in *struct {
		InProject
		Kind    string          `query:"kind" doc:"About things of this kind only, as in cluster."`
		Subject string          `query:"subject" doc:"About the thing of this name only."`
		Status  workflow.Status `query:"status" doc:"Of this status only."`
		Limit   int             `query:"limit" default:"100" minimum:"1" maximum:"10000"`
	}) ([]workflow.Info, error) {
		if s.Workflows == nil {
			return nil, notReady("workflows")
		}
		return s.Workflows.List(ctx, workflow.Filter{Project: in.Project, Kind: in.Kind, Subject: in.Subject, Status: in.Status, Limit: in.Limit})
	})
	type one struct {
		ID string `path:"id"`
	}
	handle(s, route(http.MethodGet, "/v1/workflows/{id}", "get-workflow", "One workflow"), func(ctx context.Context, in *one) (workflow.Info, error) {
		if s.Workflows == nil {
			return workflow.Info{}, notReady("workflows")
		}
		return s.Workflows.Get(ctx, in.ID)
	})
	list(s, route(http.MethodGet, "/v1/workflows/{id}/steps", "list-steps", "The recorded steps of a workflow, in order"), func(ctx context.Context, in *one) ([]workflow.StepInfo, error) {
		if s.Workflows == nil {
			return nil, notReady("workflows")
		}
		if _, err := s.Workflows.Get(ctx, in.ID); err != nil {
			return nil, err
		}
		return s.Workflows.Steps(ctx, in.ID)
	})
	stream(s, route(http.MethodGet, "/v1/workflows/{id}/follow", "follow-workflow", "Follow a workflow to its end"), "text/event-stream",
		"Events named step, as they are recorded, from the first; progress, what is being done meanwhile; and at the end one event named end, the workflow, or error.",
		func(ctx context.Context, in *one, out *output) error { return s.follow(ctx, in.ID, out) })
}

// follower tells one reader about one workflow.
type follower struct {
	*server
	id    string
	out   *output
	steps int // told
	last  map[string]string
}

// follow streams steps until the workflow has ended. It compares what is
// there with what it told; changes only wake it up.
func (s *server) follow(ctx context.Context, id string, out *output) error {
	if s.Workflows == nil || s.Kernel == nil {
		return notReady("workflows")
	}
	f := &follower{server: s, id: id, out: out, last: map[string]string{}}
	w, err := s.Workflows.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := out.begin(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	wait := out.living(ctx, stop)
	defer wait()
	defer stop()
	if err := f.run(ctx, w); err != nil {
		if ctx.Err() == nil {
			out.event(0, "error", volvox.AsError(err))
		}
		return err
	}
	return nil
}

func (f *follower) run(ctx context.Context, w workflow.Info) error {
	changes := f.Kernel.Watch(ctx, store.Now(), "workflows", "steps", "instances") // before the first look: nothing falls between
	if ended, err := f.tell(ctx); err != nil || ended {
		return err
	}
	hit := false
	for c, err := range changes {
		if err != nil {
			return err
		}
		switch c.Table {
		case "workflows":
			hit = hit || c.Row["id"] == f.id
		case "steps":
			hit = hit || c.Row["workflow"] == f.id
		case "instances":
			if err := f.progress(c, w); err != nil {
				return err
			}
		}
		if !c.Last || !hit {
			continue
		}
		hit = false
		if ended, err := f.tell(ctx); err != nil || ended {
			return err
		}
	}
	return ctx.Err()
}

// tell sends the steps that are new and, when the workflow has ended, that.
func (f *follower) tell(ctx context.Context) (ended bool, err error) {
	w, err := f.Workflows.Get(ctx, f.id) // before its steps: none is recorded after its end
	if err != nil {
		return false, err
	}
	steps, err := f.Workflows.Steps(ctx, f.id)
	if err != nil {
		return false, err
	}
	for ; f.steps < len(steps); f.steps++ {
		if err := f.out.event(int64(f.steps+1), "step", steps[f.steps]); err != nil {
			return false, err
		}
	}
	if !w.Status.Ended() {
		return false, nil
	}
	return true, f.out.event(0, "end", w)
}

// progress tells what an instance of the workflow's cluster says about itself.
func (f *follower) progress(c store.Change, w workflow.Info) error {
	text := func(column string) string { t, _ := c.Row[column].(string); return t }
	if w.Kind != "cluster" || text("cluster") != w.Subject || text("project") != w.Project {
		return nil
	}
	name, message := text("name"), text("message")
	if f.last[name] == message || c.Op == "delete" {
		return nil
	}
	f.last[name] = message
	if message == "" { // what it is then, the steps say
		return nil
	}
	return f.out.event(0, "progress", Progress{Ref: volvox.Ref{Kind: "instance", Project: w.Project, Name: name}, Message: message})
}
