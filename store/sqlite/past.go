package sqlite

import (
	"errors"
	"time"

	"github.com/volvox-os/volvox/store"
)

func prepareLook(c *conn, kind int) error { return errors.New("not built") }

func (c *conn) build(catalog *store.Catalog, kind int) error { return errors.New("not built") }

func (c *conn) setMoment(t time.Time) error { return errors.New("not built") }

func (c *conn) describe(text string) ([]store.Column, error) { return nil, errors.New("not built") }
