package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/volvox-os/volvox"
)

// message is one server-sent event.
type message struct {
	id, event string
	data      []byte
}

// messages opens a stream of events and yields them until it ends.
func (c *Client) messages(ctx context.Context, path string, query url.Values, header http.Header) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		res, err := c.send(ctx, http.MethodGet, path, query, nil, header)
		if err != nil {
			yield(message{}, err)
			return
		}
		defer res.Body.Close()
		r := bufio.NewReader(res.Body)
		var m message
		for {
			line, err := r.ReadString('\n')
			if errors.Is(err, io.EOF) && ctx.Err() == nil {
				return
			}
			if err != nil {
				yield(message{}, c.broken(ctx, err))
				return
			}
			line = strings.TrimSuffix(line, "\n")
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case line == "" && m.data != nil:
				if !yield(m, nil) {
					return
				}
				m = message{}
			case key == "id":
				m.id = value
			case key == "event":
				m.event = value
			case key == "data":
				m.data = append(m.data, value...)
			}
		}
	}
}

// failureOf returns the error that an event named error carries.
func failureOf(m message) error {
	var e volvox.Error
	if err := json.Unmarshal(m.data, &e); err != nil || e.Code == "" {
		return volvox.Errorf(volvox.Unavailable, "the stream ended with an error").Because("%s", m.data)
	}
	return &e
}

// Watch yields the changes of tables after a position (negative: from now on;
// 0: all that is kept), whole transactions, until ctx ends. The position to resume at is the Tx of the
// last change that was the Last of its transaction.
func (c *Client) Watch(ctx context.Context, from int64, tables ...string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		q := url.Values{}
		if len(tables) > 0 {
			q.Set("tables", strings.Join(tables, ","))
		}
		h := http.Header{}
		if from >= 0 {
			h.Set("Last-Event-ID", strconv.FormatInt(from, 10))
		}
		for m, err := range c.messages(ctx, "/v1/watch", q, h) {
			var change Change
			switch {
			case err != nil:
			case m.event == "error":
				err = failureOf(m)
			default:
				err = json.Unmarshal(m.data, &change)
			}
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Workflows returns the workflows about a thing (empty: about anything),
// newest first.
func (c *Client) Workflows(ctx context.Context, kind, subject string, limit int) ([]Workflow, error) {
	return get[[]Workflow](ctx, c, "/v1/workflows", c.scoped("kind", kind, "subject", subject, "limit", strconv.Itoa(limit)))
}

// Workflow returns one workflow.
func (c *Client) Workflow(ctx context.Context, id string) (Workflow, error) {
	return get[Workflow](ctx, c, "/v1/workflows/"+url.PathEscape(id), nil)
}

// Steps returns the recorded steps of a workflow.
func (c *Client) Steps(ctx context.Context, id string) ([]Step, error) {
	return get[[]Step](ctx, c, "/v1/workflows/"+url.PathEscape(id)+"/steps", nil)
}

// Follow calls step for each step of a workflow, from the first, as they are
// recorded, and progress for what is said meanwhile; either may be nil. It
// returns the workflow when it has ended.
func (c *Client) Follow(ctx context.Context, id string, step func(Step), progress func(Progress)) (w Workflow, err error) {
	for m, err := range c.messages(ctx, "/v1/workflows/"+url.PathEscape(id)+"/follow", nil, nil) {
		if err != nil {
			return w, err
		}
		switch m.event {
		case "end":
			return w, json.Unmarshal(m.data, &w)
		case "error":
			return w, failureOf(m)
		case "step":
			err = tell(m, step)
		case "progress":
			err = tell(m, progress)
		}
		if err != nil {
			return w, err
		}
	}
	return w, c.broken(ctx, volvox.Errorf(volvox.Unavailable, "the stream ended early").WithTry("volvox status"))
}

func tell[T any](m message, f func(T)) error {
	if f == nil {
		return nil
	}
	var v T
	if err := json.Unmarshal(m.data, &v); err != nil {
		return err
	}
	f(v)
	return nil
}
