package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/volvox-os/volvox"
)

func (s *server) codeRoutes() {
	list(s, route(http.MethodGet, "/v1/codes", "list-codes", "All codes of errors"), func(context.Context, *struct{}) ([]volvox.CodeDoc, error) {
		return volvox.Codes(), nil
	})
	handle(s, route(http.MethodGet, "/v1/codes/{code}", "explain-code", "What a code of an error means"), func(_ context.Context, in *struct {
		Code string `path:"code"`
	}) (volvox.CodeDoc, error) {
		d, ok := volvox.Code(strings.ToUpper(in.Code)).Explain()
		if !ok {
			return d, volvox.Errorf(volvox.NotFound, "there is no code %q", in.Code).WithTry("volvox explain")
		}
		return d, nil
	})
}
