package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
)

// File is a description of databases to be applied.
type File struct {
	Name string `json:"name" doc:"The name of the file, for messages."`
	Text string `json:"text" doc:"Its content: YAML."`
	Plan bool   `json:"plan,omitempty" doc:"Only say what would be done."`
}

// Removal names the workflow that removes a database.
type Removal struct {
	Workflow string `json:"workflow"`
}

// wish is a body with a project beside it, which counts when the body names none.
type wish struct {
	InProject
	Body database.Wish
}

func (w *wish) wish() database.Wish {
	w.Body.Project = cmp.Or(w.Body.Project, w.Project)
	return w.Body
}

func (s *server) databases() (Databases, error) {
	if s.Databases == nil {
		return nil, notReady("databases")
	}
	return s.Databases, nil
}

func (s *server) databaseRoutes() {
	list(s, route(http.MethodGet, "/v1/databases", "list-databases", "All databases"), func(ctx context.Context, in *InProject) ([]database.Cluster, error) {
		d, err := s.databases()
		if err != nil {
			return nil, err
		}
		return d.List(ctx, in.Project)
	})
	create := route(http.MethodPost, "/v1/databases", "create-database", "Create a database; the answer names the workflow that does it")
	create.DefaultStatus = http.StatusAccepted
	handle(s, create, func(ctx context.Context, in *wish) (c database.Cluster, err error) {
		d, err := s.databases()
		if err != nil {
			return c, err
		}
		c, _, err = d.Create(ctx, in.wish())
		return c, err
	})
	handle(s, route(http.MethodPost, "/v1/databases/plan", "plan-database", "What creating a database would do"), func(ctx context.Context, in *wish) (p database.Plan, err error) {
		d, err := s.databases()
		if err != nil {
			return p, err
		}
		return d.Plan(ctx, in.wish())
	})
	handle(s, route(http.MethodGet, "/v1/databases/{name}", "get-database", "One database"), func(ctx context.Context, in *Named) (c database.Cluster, err error) {
		d, err := s.databases()
		if err != nil {
			return c, err
		}
		return d.Get(ctx, in.Project, in.Name)
	})
	remove := route(http.MethodDelete, "/v1/databases/{name}", "delete-database", "Delete a database with its data; the answer names the workflow that does it")
	remove.DefaultStatus = http.StatusAccepted
	handle(s, remove, func(ctx context.Context, in *Named) (r Removal, err error) {
		d, err := s.databases()
		if err != nil {
			return r, err
		}
		r.Workflow, err = d.Delete(ctx, in.Project, in.Name)
		return r, err
	})
	s.databaseParts()
}

func (s *server) databaseParts() {
	type connection struct {
		Named
		Reveal  bool `query:"reveal" doc:"Show the password; a warning is recorded."`
		Session bool `query:"session" doc:"For a client program that is started at once: with the password; that a session was opened is recorded."`
	}
	handle(s, route(http.MethodGet, "/v1/databases/{name}/connection", "get-connection", "How a client reaches a database"), func(ctx context.Context, in *connection) (c database.Connection, err error) {
		d, err := s.databases()
		if err != nil {
			return c, err
		}
		if in.Session && !in.Reveal {
			return d.Session(ctx, in.Project, in.Name)
		}
		return d.Connection(ctx, in.Project, in.Name, in.Reveal)
	})
	list(s, route(http.MethodGet, "/v1/databases/{name}/instances", "list-members", "The members of a database"), func(ctx context.Context, in *Named) (is []instance.Instance, err error) {
		if d, err := s.databases(); err != nil {
			return nil, err
		} else if _, err := d.Get(ctx, in.Project, in.Name); err != nil {
			return nil, err
		}
		err = s.view(ctx, func(tx *store.Tx) error {
			is, err = instance.List(tx, instance.Filter{Project: in.Project, Cluster: in.Name})
			return err
		})
		return is, err
	})
	type events struct {
		Named
		Limit int  `query:"limit" default:"200" minimum:"1" maximum:"10000" doc:"At most so many of the newest."`
		All   bool `query:"all" doc:"Also of earlier databases of the name."`
	}
	list(s, route(http.MethodGet, "/v1/databases/{name}/events", "list-database-events", "What happened to a database and its members since it was created, oldest first"), func(ctx context.Context, in *events) ([]telemetry.Event, error) {
		d, err := s.databases()
		if err != nil {
			return nil, err
		}
		return d.Events(ctx, in.Project, in.Name, in.Limit, in.All)
	})
	list(s, route(http.MethodPost, "/v1/apply", "apply-file", "Make what a file describes, or say what would be done"), func(ctx context.Context, in *struct {
		InProject
		Body File
	}) ([]database.Applied, error) {
		return s.apply(ctx, in.Project, in.Body)
	})
}

// apply makes what the file describes and is not there yet, all of it or
// nothing.
func (s *server) apply(ctx context.Context, project string, f File) ([]database.Applied, error) {
	if s.Applier == nil {
		return nil, notReady("databases")
	}
	wishes, err := database.ParseFile(f.Name, []byte(f.Text))
	if err != nil {
		return nil, err
	}
	for i := range wishes {
		wishes[i].Project = cmp.Or(wishes[i].Project, project)
	}
	if !f.Plan {
		return s.Applier.Apply(ctx, wishes)
	}
	plans, err := s.Applier.PlanAll(ctx, wishes)
	out := make([]database.Applied, len(plans))
	for i, p := range plans {
		out[i].Plan = p
	}
	return out, err
}
