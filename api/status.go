package api

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/volvox-os/volvox"
)

// Status is the computer as a whole.
type Status struct {
	Ready     bool      `json:"ready" doc:"Whether all parts are ready."`
	Version   string    `json:"version"`
	Data      string    `json:"data" doc:"The data directory."`
	API       string    `json:"api" doc:"The socket of the API."`
	Listen    string    `json:"listen,omitempty" doc:"The URL of the API over TCP, if asked for."`
	Machine   string    `json:"machine" doc:"The name of this machine."`
	Network   string    `json:"network" doc:"The range of the addresses of instances."`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Parts     []Part    `json:"parts"`
}

// Part is one part of the computer.
type Part struct {
	Name    string `json:"name"`
	State   string `json:"state" enum:"ready,starting,failed,stopped"`
	Message string `json:"message"`
}

// The states of a part.
const (
	PartReady    = "ready"
	PartStarting = "starting"
	PartFailed   = "failed"
	PartStopped  = "stopped"
)

// Shutdown says how to stop the computer.
type Shutdown struct {
	StopInstances bool `json:"stop_instances,omitempty" doc:"Also stop all instances; otherwise they go on running."`
	Purge         bool `json:"purge,omitempty" doc:"Also remove all that the computer made, its data included."`
}

// Check is one thing that the doctor looked at.
type Check struct {
	Name    string `json:"name"`
	State   string `json:"state" enum:"ok,warn,fail"`
	Message string `json:"message"`
	Try     string `json:"try,omitempty"`
}

// The states of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

func (s *server) statusRoutes() {
	handle(s, route(http.MethodGet, "/v1/status", "get-status", "The computer as a whole"), func(ctx context.Context, _ *struct{}) (Status, error) {
		if s.Computer == nil {
			return Status{Version: volvox.Version, PID: os.Getpid(), Parts: []Part{}}, nil
		}
		st := s.Computer.Status(ctx)
		if st.Parts == nil {
			st.Parts = []Part{}
		}
		return st, nil
	})
	stop := route(http.MethodPost, "/v1/shutdown", "shut-down", "Stop the computer")
	stop.DefaultStatus = http.StatusAccepted
	handle(s, stop, func(ctx context.Context, in *struct{ Body Shutdown }) (Status, error) {
		if s.Computer == nil {
			return Status{}, notReady("computer")
		}
		st := s.Computer.Status(ctx)
		return st, s.Computer.Shutdown(ctx, in.Body)
	})
	list(s, route(http.MethodGet, "/v1/doctor", "check-machine", "What could be in the way on this machine"), func(ctx context.Context, _ *struct{}) ([]Check, error) {
		if s.Computer == nil {
			return nil, notReady("computer")
		}
		return s.Computer.Doctor(ctx)
	})
}
