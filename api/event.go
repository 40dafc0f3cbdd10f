package api

import (
	"context"
	"net/http"

	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
)

func (s *server) eventRoutes() {
	type filter struct {
		InProject
		Kind  string `query:"kind" doc:"Of things of this kind only: cluster, instance, machine."`
		Name  string `query:"name" doc:"Of the thing of this name only."`
		Limit int    `query:"limit" default:"200" minimum:"1" maximum:"10000" doc:"At most so many of the newest."`
	}
	list(s, route(http.MethodGet, "/v1/events", "list-events", "What happened, oldest first"), func(ctx context.Context, in *filter) (es []telemetry.Event, err error) {
		err = s.view(ctx, func(tx *store.Tx) error {
			es, err = telemetry.List(tx, in.Project, in.Kind, in.Name, in.Limit)
			return err
		})
		return es, err
	})
}
