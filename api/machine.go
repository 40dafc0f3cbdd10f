package api

import (
	"context"
	"net/http"

	"github.com/volvox-os/volvox/machine"
)

func (s *server) machineRoutes() {
	list(s, route(http.MethodGet, "/v1/machines", "list-machines", "The machines of the computer"), func(ctx context.Context, _ *struct{}) ([]machine.Machine, error) {
		if s.Machines == nil {
			return nil, notReady("machines")
		}
		return s.Machines.List(ctx)
	})
}
