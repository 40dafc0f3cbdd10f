package database

import (
	"embed"
	"io/fs"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables clusters, components and accounts.
func Schema() store.Schema {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return store.Schema{Owner: "database", Migrations: dir}
}
