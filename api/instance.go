package api

import (
	"context"
	"net/http"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
)

// Metrics is what one instance uses.
type Metrics struct {
	Instance         string `json:"instance"`
	CPUMicros        int64  `json:"cpu_micros" doc:"CPU time since it started, in microseconds."`
	MemoryBytes      int64  `json:"memory_bytes" doc:"Memory now, without page cache that can be taken back."`
	MemoryLimitBytes int64  `json:"memory_limit_bytes"`
	Pids             int64  `json:"pids" doc:"Processes and threads now."`
	OOMKills         int64  `json:"oom_kills" doc:"How often the memory limit ended a process."`
}

func metrics(name string, m agent.Metrics) Metrics {
	return Metrics{Instance: name, CPUMicros: m.CPU.Microseconds(), MemoryBytes: m.MemoryBytes, MemoryLimitBytes: m.MemoryLimit, Pids: m.Pids, OOMKills: m.OOMKills}
}

func (s *server) instanceRoutes() {
	list(s, route(http.MethodGet, "/v1/instances", "list-instances", "All instances"), func(ctx context.Context, in *struct {
		InProject
		Cluster string `query:"cluster" doc:"Only members of this database."`
	}) ([]instance.Instance, error) {
		return s.instances(ctx, instance.Filter{Project: in.Project, Cluster: in.Cluster})
	})
	handle(s, route(http.MethodGet, "/v1/instances/{name}", "get-instance", "One instance"), func(ctx context.Context, in *Named) (instance.Instance, error) {
		return s.instance(ctx, in)
	})
	handle(s, route(http.MethodGet, "/v1/instances/{name}/metrics", "get-metrics", "What an instance uses"), func(ctx context.Context, in *Named) (Metrics, error) {
		i, err := s.instance(ctx, in)
		if err != nil {
			return Metrics{}, err
		}
		if s.Agent == nil {
			return Metrics{}, notReady("agent")
		}
		m, err := s.Agent.Metrics(ctx, i.ID)
		return metrics(i.Name, m), err
	})
	list(s, route(http.MethodGet, "/v1/metrics", "list-metrics", "What all running instances use"), func(ctx context.Context, in *InProject) (out []Metrics, err error) {
		if s.Agent == nil {
			return nil, notReady("agent")
		}
		all, err := s.instances(ctx, instance.Filter{Project: in.Project})
		for _, i := range all {
			if m, err := s.Agent.Metrics(ctx, i.ID); err == nil { // those that do not run have none
				out = append(out, metrics(i.Name, m))
			}
		}
		return out, err
	})
	type logs struct {
		Named
		Lines  int  `query:"lines" default:"200" minimum:"0" maximum:"1000000" doc:"So many of the last lines."`
		Follow bool `query:"follow" doc:"Go on with what is printed from now on."`
	}
	stream(s, route(http.MethodGet, "/v1/instances/{name}/logs", "get-logs", "What an instance printed"), "text/plain; charset=utf-8", "Lines as they were printed.",
		func(ctx context.Context, in *logs, out *output) error {
			i, err := s.instance(ctx, &in.Named)
			if err != nil {
				return err
			}
			if s.Agent == nil {
				return notReady("agent")
			}
			if in.Follow { // the reader learns at once that it is heard
				if err := out.begin(); err != nil {
					return err
				}
			}
			if err := s.Agent.Logs(ctx, i.ID, in.Follow, in.Lines, out); err != nil && ctx.Err() == nil {
				return err
			}
			return out.begin()
		})
}

func (s *server) instances(ctx context.Context, f instance.Filter) (is []instance.Instance, err error) {
	err = s.view(ctx, func(tx *store.Tx) error {
		is, err = instance.List(tx, f)
		return err
	})
	return is, err
}

func (s *server) instance(ctx context.Context, in *Named) (i instance.Instance, err error) {
	err = s.view(ctx, func(tx *store.Tx) error {
		i, err = instance.Get(tx, in.Project, in.Name)
		return err
	})
	if volvox.CodeOf(err) == volvox.NotFound {
		err = volvox.Errorf(volvox.NotFound, "there is no instance %q", in.Name).WithTry("volvox ps").
			About(volvox.Ref{Kind: "instance", Project: in.Project, Name: in.Name})
	}
	return i, err
}
