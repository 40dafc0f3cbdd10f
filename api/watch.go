package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

type watchRequest struct {
	Tables string `query:"tables" doc:"Names of tables, with commas; all when left out."`
	From   int64  `query:"from" default:"-1" doc:"The position after which to start, 0 for all that is kept; -1 is the present."`
	LastID int64  `header:"Last-Event-ID" default:"-1" doc:"The position that a broken stream had reached; it wins over from."`
}

func (s *server) watchRoutes() {
	stream(s, route(http.MethodGet, "/v1/watch", "watch", "Follow the changes of tables"), "text/event-stream",
		"Events named change, whole transactions in the order of their commits. The last change of a transaction has the position as its id: a stream that breaks resumes behind it with the header Last-Event-ID. An event named error ends the stream.",
		func(ctx context.Context, in *watchRequest, out *output) error { return s.watch(ctx, in, out) })
}

func (s *server) watch(ctx context.Context, in *watchRequest, out *output) error {
	if s.Kernel == nil {
		return notReady("kernel")
	}
	tables, err := s.tablesOf(ctx, in.Tables)
	if err != nil {
		return err
	}
	start := store.Now()
	switch {
	case in.LastID >= 0:
		start = store.From(in.LastID)
	case in.From >= 0:
		start = store.From(in.From)
	}
	ctx, stop := context.WithCancel(ctx)
	wait := out.living(ctx, stop)
	defer wait()
	defer stop()
	changes := s.Kernel.Watch(ctx, start, tables...) // begins here, before the reader learns that it is heard
	if err := out.begin(); err != nil {
		return err
	}
	for c, err := range changes {
		if err != nil {
			if ctx.Err() == nil {
				out.event(0, "error", volvox.AsError(err))
			}
			return err
		}
		id := int64(0)
		if c.Last {
			id = c.Tx
		}
		if err := out.event(id, "change", c); err != nil {
			return err
		}
	}
	return nil
}

// tablesOf reads a list of tables; each must be there.
func (s *server) tablesOf(ctx context.Context, list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	known, err := s.Kernel.Tables(ctx)
	if err != nil {
		return nil, err
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.ContainsFunc(known, func(t store.Table) bool { return t.Name == name }) {
			return nil, volvox.Errorf(volvox.NotFound, "there is no table %q", name).WithTry("volvox sql --tables")
		}
	}
	return names, nil
}
