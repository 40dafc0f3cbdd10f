package api

import (
	"context"
	"encoding/base64"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// Question is a statement to be answered.
type Question struct {
	SQL     string `json:"sql" minLength:"1" doc:"One statement that reads."`
	AsOf    string `json:"as_of,omitempty" doc:"The moment to ask about: a time ago such as -10m, or RFC 3339. Now when left out."`
	MaxRows int    `json:"max_rows,omitempty" minimum:"0" doc:"More rows are an error; 100,000 when left out."`
}

// SQLHeader is the first line of an answer.
type SQLHeader struct {
	Columns []string `json:"columns"`
}

// SQLEnd is the last line of an answer: the number of rows, or the error that
// ended it.
type SQLEnd struct {
	End   bool          `json:"end"`
	Rows  int           `json:"rows"`
	Error *volvox.Error `json:"error,omitempty"`
}

func (s *server) sqlRoutes() {
	stream(s, route(http.MethodPost, "/v1/sql", "ask", "Answer a question in SQL"), "application/jsonl",
		"JSON lines: first {columns}, then one array for each row, last {end, rows} or {end, rows, error}.",
		func(ctx context.Context, in *struct{ Body Question }, out *output) error {
			return s.ask(ctx, in.Body, out)
		})
	list(s, route(http.MethodGet, "/v1/sql/tables", "list-tables", "All tables and views, their columns and what they mean"), func(ctx context.Context, _ *struct{}) ([]store.Table, error) {
		if s.Kernel == nil {
			return nil, notReady("kernel")
		}
		return s.Kernel.Tables(ctx)
	})
}

// ask streams an answer. Errors before the first row become the response.
func (s *server) ask(ctx context.Context, q Question, out *output) error {
	if s.Kernel == nil {
		return notReady("kernel")
	}
	asOf, err := volvox.ParseMoment(q.AsOf, time.Now())
	if err != nil {
		return err
	}
	rows := 0
	columns, err := s.Kernel.Ask(ctx, store.Question{SQL: q.SQL, AsOf: asOf, MaxRows: q.MaxRows}, func(columns []string, row []any) error {
		if rows == 0 {
			if err := out.line(SQLHeader{columns}); err != nil {
				return err
			}
		}
		rows++
		values := make([]any, len(row))
		for i, v := range row {
			values[i] = sqlValue(v)
		}
		return out.line(values)
	})
	switch {
	case err != nil && rows == 0:
		return err
	case err != nil:
		out.line(SQLEnd{End: true, Rows: rows, Error: volvox.AsError(err)})
	case rows == 0:
		if columns == nil {
			columns = []string{}
		}
		out.line(SQLHeader{columns})
		fallthrough
	default:
		out.line(SQLEnd{End: true, Rows: rows})
	}
	return out.flush()
}

// sqlValue returns v as JSON can hold it: what JSON has no number for, and
// bytes that are no text, become text.
func sqlValue(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return v
}
