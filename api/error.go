package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/volvox-os/volvox"
)

// StatusOf is the HTTP status of a kind of error: the only place that maps
// the one to the other.
func StatusOf(k volvox.Kind) int {
	switch k {
	case volvox.KindInvalid:
		return http.StatusUnprocessableEntity
	case volvox.KindNotFound:
		return http.StatusNotFound
	case volvox.KindDenied:
		return http.StatusForbidden
	case volvox.KindConflict:
		return http.StatusConflict
	case volvox.KindCapacity:
		return http.StatusInsufficientStorage
	case volvox.KindUnavailable:
		return http.StatusServiceUnavailable
	case volvox.KindTimeout:
		return http.StatusGatewayTimeout
	case volvox.KindCancelled:
		return 499 // the client closed the request; nobody reads this
	default:
		return http.StatusInternalServerError
	}
}

// failure is a volvox.Error with its status, as the framework wants it.
type failure struct{ err *volvox.Error }

func failed(err error) failure { return failure{volvox.AsError(err)} }

func (f failure) Error() string                { return f.err.Error() }
func (f failure) Unwrap() error                { return f.err }
func (f failure) GetStatus() int               { return StatusOf(f.err.Kind()) }
func (f failure) MarshalJSON() ([]byte, error) { return json.Marshal(f.err) }

// writeError answers with an error where no framework stands between.
func writeError(w http.ResponseWriter, err error) {
	e := failed(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.GetStatus())
	json.NewEncoder(w).Encode(e)
}

// explainInvalid turns the framework's own errors, about requests that do not
// fit the description, into ours.
func explainInvalid(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if m.Status >= http.StatusInternalServerError {
		return volvox.Errorf(volvox.Internal, "something unexpected failed").Because("%s", m.Detail), nil
	}
	var causes []string
	for _, d := range m.Errors {
		if d == nil {
			continue
		}
		text := d.Message
		if d.Location != "" {
			text = d.Location + ": " + text
		}
		causes = append(causes, text)
	}
	if causes == nil {
		causes = []string{m.Detail}
	}
	return volvox.Errorf(volvox.BadInput, "the request is not what this route takes").Because("%s", strings.Join(causes, "; ")).
		WithTry("look at /openapi.json for what it takes; a body is sent with Content-Type: application/json"), nil
}

// errorResponse documents the one error of all operations.
func errorResponse() *huma.Response {
	return &huma.Response{Description: "It failed.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Error"}}}}
}

func errorSchema() *huma.Schema {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	return &huma.Schema{
		Type:     huma.TypeObject,
		Required: []string{"code", "message", "retryable"},
		Properties: map[string]*huma.Schema{
			"code":      text("A stable code; /v1/codes/{code} explains it."),
			"message":   text("What failed."),
			"cause":     text("Why."),
			"hints":     {Type: huma.TypeArray, Items: text(""), Description: "What to try."},
			"retryable": {Type: huma.TypeBoolean, Description: "Whether the same request may succeed later."},
			"op":        text("The operation."),
			"ref":       {Type: huma.TypeObject, Description: "The thing concerned: kind, project, name."},
		},
	}
}
