package database

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/addon"
	"github.com/volvox-os/volvox/instance"
	"github.com/volvox-os/volvox/store"
	"github.com/volvox-os/volvox/telemetry"
)

// mask stands where a password is not shown.
const mask = "****"

// Connection says how a client on this machine reaches the member of a
// database that takes writes, by its IP address. The password is masked unless
// it is revealed, and that is recorded as an event with who asked. While no
// member takes writes it is E_NOT_READY.
func (s *Service) Connection(ctx context.Context, project, name string, reveal bool) (Connection, error) {
	if reveal {
		return s.connection(ctx, project, name, "database.reveal", func(tx *store.Tx, c Cluster, account string) error {
			return record(tx, c, telemetry.Warning, "", "the password of account %s was shown to %s", account, volvox.ActorOf(ctx))
		})
	}
	return s.connection(ctx, project, name, "", nil)
}

// Session is [Service.Connection] for a client program that is started at
// once: it holds the password for the program, nobody sees it, and the event
// is that a session was opened.
func (s *Service) Session(ctx context.Context, project, name string) (Connection, error) {
	return s.connection(ctx, project, name, "database.session", func(tx *store.Tx, c Cluster, account string) error {
		return record(tx, c, telemetry.Info, "", "%s opened a session as account %s", volvox.ActorOf(ctx), account)
	})
}

// connection is a connection, with the password if note tells of it.
func (s *Service) connection(ctx context.Context, project, name, as string, note func(tx *store.Tx, c Cluster, account string) error) (conn Connection, err error) {
	reveal := note != nil
	do := func(f func(tx *store.Tx) error) error { return s.db.View(ctx, f) }
	if reveal {
		do = func(f func(tx *store.Tx) error) error { return s.update(ctx, as, f) }
	}
	err = do(func(tx *store.Tx) error {
		c, err := getCluster(tx, project, name)
		if err != nil {
			return err
		}
		admin, err := s.admin(tx, c)
		if err != nil {
			return err
		}
		kind, host, err := s.writer(tx, c, admin.Component)
		if err != nil {
			return err
		}
		password := mask
		if reveal {
			if password, err = s.secrets.Get(tx, project, admin.Secret); err != nil {
				return fmt.Errorf("open the password of account %s: %w", admin.Name, err)
			}
			if err := note(tx, c, admin.Name); err != nil {
				return err
			}
		}
		conn = connect(kind, admin.User, password, host, reveal)
		return nil
	})
	return conn, err
}

// admin is the account that clients of a person use.
func (s *Service) admin(tx *store.Tx, c Cluster) (Account, error) {
	logins, err := accounts(tx, c.Project, c.Name)
	if err != nil {
		return Account{}, err
	}
	for _, a := range logins {
		if a.Admin {
			return a, nil
		}
	}
	return Account{}, volvox.Errorf(volvox.Unsupported, "database %s has no account to connect with", c.Name).
		Because("the addon of %s makes none", c.Engine).About(c.Ref())
}

// writer is the component and the address of the member that takes writes.
func (s *Service) writer(tx *store.Tx, c Cluster, component string) (*addon.Component, string, error) {
	a, err := s.findAddon(c.Engine)
	if err != nil {
		return nil, "", err
	}
	parts, err := components(tx, c.Project, c.Name)
	if err != nil {
		return nil, "", err
	}
	members, err := instance.List(tx, instance.Filter{Project: c.Project, Cluster: c.Name})
	if err != nil {
		return nil, "", fmt.Errorf("list the members of %s: %w", c.Name, err)
	}
	for _, p := range parts {
		kind := a.Components[p.Kind]
		if p.Name != component || kind == nil {
			continue
		}
		for _, i := range members {
			if i.Component == p.Name && serves(i) && (writable(kind, i.Role) || !hasWriter(kind)) {
				return kind, i.Address, nil
			}
		}
	}
	why := fmt.Sprintf("it is %s", c.Phase)
	if c.Message != "" {
		why += ": " + c.Message
	}
	return nil, "", volvox.Errorf(volvox.NotReady, "no member of database %s takes writes now", c.Name).
		Because("%s", why).About(c.Ref()).WithTry("volvox db show %s", c.Name)
}

// connect fills in the addon's templates.
func connect(kind *addon.Component, user, password, host string, reveal bool) Connection {
	port := strconv.Itoa(firstPort(kind))
	conn := Connection{Host: host, Port: firstPort(kind), User: user, Package: kind.Client.Package}
	shown := password
	if reveal {
		shown = escape(password)
	}
	conn.URL = fill(kind.URL, escape(user), shown, host, port)
	for _, word := range kind.Client.Command {
		conn.Command = append(conn.Command, fill(word, user, mask, host, port))
	}
	if !reveal {
		return conn
	}
	conn.Env = map[string]string{}
	for name, value := range kind.Client.Env {
		conn.Env[name] = fill(value, user, password, host, port)
	}
	return conn
}

func fill(template, user, password, host, port string) string {
	return strings.NewReplacer("{user}", user, "{password}", password, "{host}", host, "{port}", port).Replace(template)
}

// escape writes text so that it means itself anywhere in a URL.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
