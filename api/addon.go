package api

import (
	"context"
	"net/http"

	"github.com/volvox-os/volvox/addon"
)

func (s *server) addonRoutes() {
	list(s, route(http.MethodGet, "/v1/addons", "list-addons", "The engines that databases can have: versions, topologies and parameters"), func(ctx context.Context, _ *struct{}) ([]addon.Summary, error) {
		if s.Engines == nil {
			return nil, notReady("databases")
		}
		return s.Engines.Engines(ctx)
	})
}
