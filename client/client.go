// Package client is the Go client of the API: a method for each route, with
// the types that the services themselves use. The command line is made of it.
//
// It promises that every error is a [volvox.Error], that streams end when
// their context does, and that it repeats nothing by itself: whoever asks
// knows whether asking twice is right.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
	"github.com/volvox-os/volvox/database"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/machine"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
	"github.com/volvox-os/volvox/workflow"
)

// The nouns of the API.
type (
	Status     = api.Status
	Part       = api.Part
	Shutdown   = api.Shutdown
	Check      = api.Check
	Question   = api.Question
	File       = api.File
	Removal    = api.Removal
	Applied    = database.Applied
	Metrics    = api.Metrics
	Progress   = api.Progress
	Wish       = database.Wish
	Cluster    = database.Cluster
	Plan       = database.Plan
	Connection = database.Connection
	Engine     = database.Engine
	Instance   = instance.Instance
	Machine    = machine.Machine
	Table      = store.Table
	Column     = store.Column
	Change     = store.Change
	Event      = telemetry.Event
	Workflow   = workflow.Info
	Step       = workflow.StepInfo
)

// Client speaks to one computer. It may be used by several goroutines.
type Client struct {
	http    *http.Client
	base    string
	token   string
	project string
	where   string // for messages
}

// Options of a client.
type Options struct {
	Project string // whose things are meant; empty is the default project
	Token   string // for a URL
	Data    string // the data directory, for messages
}

// New returns a client for the path of a unix socket or an http:// URL. It
// does not connect yet.
func New(address string, o Options) *Client {
	c := &Client{base: "http://volvox", token: o.Token, project: o.Project, where: o.Data}
	if c.project == "" {
		c.project = volvox.DefaultProject
	}
	if c.where == "" {
		c.where = address
	}
	transport := &http.Transport{DisableCompression: true}
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		c.base = strings.TrimRight(address, "/")
	} else {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", address)
		}
	}
	c.http = &http.Client{Transport: transport}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call sends a request and reads one JSON value into out, unless it is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	res, err := c.send(ctx, method, path, query, in, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
	} else {
		err = json.NewDecoder(res.Body).Decode(out)
	}
	return c.broken(ctx, err)
}

// send sends a request and returns a response that is no error.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any, header http.Header) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode < 400 {
		return res, nil
	}
	defer res.Body.Close()
	var e volvox.Error
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || json.Unmarshal(b, &e) != nil || e.Code == "" {
		return nil, volvox.Errorf(volvox.Internal, "the API answered %s", res.Status).Because("%s", strings.TrimSpace(string(b)))
	}
	return nil, &e
}

// unreachable explains why a request got no answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return volvox.Errorf(volvox.Denied, "you may not use the computer on %s", c.where).
			Because("its socket belongs to the user who started it").WithTry("run the same command with sudo")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return volvox.Errorf(volvox.NotUp, "no computer is up on %s", c.where).
			Because("nobody answers on its socket").
			WithTry("volvox up --data %s", c.where).WithTry("name another directory with --data")
	}
	return c.broken(ctx, err)
}

// broken explains why an answer ended before its end.
func (c *Client) broken(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return volvox.Errorf(volvox.Unavailable, "the computer on %s stopped answering", c.where).From(unwrapURL(err)).WithTry("volvox status")
}

// unwrapURL takes away the URL of the request, which says nothing to people.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// scoped is a query within the client's project.
func (c *Client) scoped(pairs ...string) url.Values {
	v := url.Values{"project": {c.project}}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (out T, err error) {
	err = c.call(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// Status returns the computer as a whole.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Shutdown tells the computer to stop and returns what it was.
func (c *Client) Shutdown(ctx context.Context, s Shutdown) (st Status, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/shutdown", nil, s, &st)
	return st, err
}

// Doctor returns what the computer finds in its own way.
func (c *Client) Doctor(ctx context.Context) ([]Check, error) {
	return get[[]Check](ctx, c, "/v1/doctor", nil)
}

// Tables describes all tables and views.
func (c *Client) Tables(ctx context.Context) ([]Table, error) {
	return get[[]Table](ctx, c, "/v1/sql/tables", nil)
}

// Machines returns the machines.
func (c *Client) Machines(ctx context.Context) ([]Machine, error) {
	return get[[]Machine](ctx, c, "/v1/machines", nil)
}

// Events returns what happened to things of a kind and name, which may be
// empty: at most limit of the newest, oldest first.
func (c *Client) Events(ctx context.Context, kind, name string, limit int) ([]Event, error) {
	return get[[]Event](ctx, c, "/v1/events", c.scoped("kind", kind, "name", name, "limit", strconv.Itoa(limit)))
}

// Instances returns the instances of the project.
func (c *Client) Instances(ctx context.Context) ([]Instance, error) {
	return get[[]Instance](ctx, c, "/v1/instances", c.scoped())
}

// Instance returns one instance.
func (c *Client) Instance(ctx context.Context, name string) (Instance, error) {
	return get[Instance](ctx, c, "/v1/instances/"+url.PathEscape(name), c.scoped())
}

// Metrics returns what the running instances use.
func (c *Client) Metrics(ctx context.Context) ([]Metrics, error) {
	return get[[]Metrics](ctx, c, "/v1/metrics", c.scoped())
}

// Logs returns the last lines of what an instance printed and, with follow,
// what it prints until ctx ends. The caller closes it.
func (c *Client) Logs(ctx context.Context, name string, lines int, follow bool) (io.ReadCloser, error) {
	q := c.scoped("lines", strconv.Itoa(lines))
	if follow {
		q.Set("follow", "true")
	}
	res, err := c.send(ctx, http.MethodGet, "/v1/instances/"+url.PathEscape(name)+"/logs", q, nil, nil)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}
