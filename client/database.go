package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

func databasePath(name string) string { return "/v1/databases/" + url.PathEscape(name) }

// Engines returns what databases there can be.
func (c *Client) Engines(ctx context.Context) ([]Engine, error) {
	return get[[]Engine](ctx, c, "/v1/addons", nil)
}

// Databases returns the databases of the project.
func (c *Client) Databases(ctx context.Context) ([]Cluster, error) {
	return get[[]Cluster](ctx, c, "/v1/databases", c.scoped())
}

// Database returns one database.
func (c *Client) Database(ctx context.Context, name string) (Cluster, error) {
	return get[Cluster](ctx, c, databasePath(name), c.scoped())
}

// Members returns the instances of a database.
func (c *Client) Members(ctx context.Context, name string) ([]Instance, error) {
	return get[[]Instance](ctx, c, databasePath(name)+"/instances", c.scoped())
}

// CreateDatabase records the wish for a database; the workflow in the answer
// fulfils it.
func (c *Client) CreateDatabase(ctx context.Context, w Wish) (out Cluster, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/databases", c.scoped(), w, &out)
	return out, err
}

// PlanDatabase says what CreateDatabase would do.
func (c *Client) PlanDatabase(ctx context.Context, w Wish) (out Plan, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/databases/plan", c.scoped(), w, &out)
	return out, err
}

// DeleteDatabase records that a database is to be removed; the workflow in
// the answer does it.
func (c *Client) DeleteDatabase(ctx context.Context, name string) (out Removal, err error) {
	err = c.call(ctx, http.MethodDelete, databasePath(name), c.scoped(), nil, &out)
	return out, err
}

// Connection says how a client program reaches a database.
func (c *Client) Connection(ctx context.Context, name string, reveal bool) (Connection, error) {
	q := c.scoped()
	if reveal {
		q.Set("reveal", "true")
	}
	return get[Connection](ctx, c, databasePath(name)+"/connection", q)
}

// Session is the connection for a client program that is started at once: it
// has the password, and it is recorded that a session was opened.
func (c *Client) Session(ctx context.Context, name string) (Connection, error) {
	return get[Connection](ctx, c, databasePath(name)+"/connection", c.scoped("session", "true"))
}

// DatabaseEvents returns what happened to a database and its members, oldest
// first; with all, also to earlier ones of the name.
func (c *Client) DatabaseEvents(ctx context.Context, name string, limit int, all bool) ([]Event, error) {
	return get[[]Event](ctx, c, databasePath(name)+"/events", c.scoped("limit", strconv.Itoa(limit), "all", strconv.FormatBool(all)))
}

// Apply makes what a file describes, or says what would be done.
func (c *Client) Apply(ctx context.Context, f File) (out []Applied, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/apply", c.scoped(), f, &out)
	return out, err
}
