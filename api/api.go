// Package api is the door of the computer for programs: HTTP, described by an
// OpenAPI document that is generated from the Go types it sends and served
// beside them. The command line is one client of it.
//
// It decides nothing: each route hands a request to the service that owns the
// noun and writes what that returns. It promises that every error is a
// [volvox.Error] as JSON, that an empty list is [], that streams end when the
// server stops, and that a stream of changes goes on where it broke off.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/workflow"
)

// Options are the services behind the routes. A nil service answers
// E_NOT_READY.
type Options struct {
	Kernel    Kernel
	Databases Databases
	Applier   Applier
	Engines   Engines
	Machines  Machines
	Workflows Workflows
	Agent     Agent
	Computer  Computer
	Log       *slog.Logger
}

// server holds the services for the handlers.
type server struct {
	Options
	api huma.API
}

// New returns the handler of all routes.
func New(o Options) http.Handler {
	_, h := build(o)
	return h
}

// OpenAPI returns the description of the API as YAML, the same that is served
// as /openapi.yaml but for the version, which is left out.
func OpenAPI() ([]byte, error) {
	s, _ := build(Options{})
	s.api.OpenAPI().Info.Version = "v1"
	return s.api.OpenAPI().YAML()
}

func build(o Options) (*server, http.Handler) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config := huma.DefaultConfig("Volvox", volvox.Version)
	config.Info.Description = "One computer of many machines: its databases, instances, workflows and everything it knows about itself, by SQL."
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{explainInvalid}

	mux := http.NewServeMux()
	s := &server{Options: o, api: humago.New(mux, config)}
	s.statusRoutes()
	s.sqlRoutes()
	s.watchRoutes()
	s.databaseRoutes()
	s.addonRoutes()
	s.instanceRoutes()
	s.workflowRoutes()
	s.machineRoutes()
	s.eventRoutes()
	s.codeRoutes()
	s.finishSchemas()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, volvox.Errorf(volvox.NotFound, "the API has no %s %s", r.Method, r.URL.Path).
			WithTry("look at /openapi.json for what it has"))
	})
	return s, s.recovering(mux)
}

// schemaName is the name of a type in the description: the noun, where the
// type has another name in its package.
func schemaName(t reflect.Type, hint string) string {
	switch t {
	case reflect.TypeFor[workflow.Info]():
		return "Workflow"
	case reflect.TypeFor[workflow.StepInfo]():
		return "Step"
	case reflect.TypeFor[addon.Summary]():
		return "Engine"
	case reflect.TypeFor[addon.TopologySummary]():
		return "Topology"
	case reflect.TypeFor[addon.ParameterSummary]():
		return "Parameter"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// finishSchemas corrects what the framework cannot know: what an error is, and
// that lists are never null.
func (s *server) finishSchemas() {
	doc := s.api.OpenAPI()
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	schemas["Error"] = errorSchema()
	for _, schema := range schemas {
		for _, p := range schema.Properties {
			p.Nullable = p.Nullable && p.Type != huma.TypeArray
		}
	}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Delete} {
			if op == nil {
				continue
			}
			for _, response := range op.Responses {
				if m := response.Content["application/json"]; m != nil && m.Schema != nil && m.Schema.Type == huma.TypeArray {
					m.Schema.Nullable = false
				}
			}
		}
	}
}

// recovering turns a panic of a handler into an error of that request alone.
func (s *server) recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil || p == http.ErrAbortHandler {
				return
			}
			s.Log.ErrorContext(r.Context(), "a handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			writeError(w, volvox.Errorf(volvox.Internal, "the API failed at %s %s", r.Method, r.URL.Path).Because("%v", p))
		}()
		h.ServeHTTP(w, r)
	})
}

// InProject chooses whose things are meant. It is exported because the
// framework sees only exported fields of what it embeds.
type InProject struct {
	Project string `query:"project" default:"main" doc:"The project whose things are meant."`
}

// Named is the path of one thing in a project.
type Named struct {
	InProject
	Name string `path:"name" doc:"The name of the thing."`
}

// answer is a body as the framework wants it.
type answer[T any] struct{ Body T }

// route describes one operation. The first word of the path after /v1 groups
// it.
func route(method, path, id, summary string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary,
		Responses: map[string]*huma.Response{"default": errorResponse()}}
}

// handle registers an operation that answers with one JSON value.
func handle[I, O any](s *server, op huma.Operation, f func(ctx context.Context, in *I) (O, error)) {
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*answer[O], error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, failed(err)
		}
		return &answer[O]{Body: out}, nil
	})
}

// list is handle for lists, which are never null.
func list[I, T any](s *server, op huma.Operation, f func(ctx context.Context, in *I) ([]T, error)) {
	handle(s, op, func(ctx context.Context, in *I) ([]T, error) {
		out, err := f(ctx, in)
		if out == nil {
			out = []T{}
		}
		return out, err
	})
}

// stream registers an operation that answers with a stream of the content
// type. An error returned before the first write becomes the response; after
// it, f must have said so within the stream.
func stream[I any](s *server, op huma.Operation, contentType, doc string, f func(ctx context.Context, in *I, out *output) error) {
	op.Responses["200"] = &huma.Response{Description: doc, Content: map[string]*huma.MediaType{
		contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(h huma.Context) {
			_, w := humago.Unwrap(h)
			ctx, stop := untilClosing(h.Context())
			defer stop()
			out := &output{w: w, control: http.NewResponseController(w), contentType: contentType}
			if err := f(ctx, in, out); err != nil && !out.begun {
				writeError(w, err)
			}
		}}, nil
	})
}

// notReady is the error of a service that is not there.
func notReady(part string) error {
	return volvox.Errorf(volvox.NotReady, "the computer is not ready for this").
		Because("its part %q has not started", part).WithTry("volvox status")
}
