package database

import (
	"embed"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables clusters, components and accounts.
func Schema() store.Schema {
	return store.Schema{Owner: "database", Migrations: migrations}
}
