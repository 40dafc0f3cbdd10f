package workflow

import (
	"embed"
	"io/fs"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables workflows and steps.
func Schema() store.Schema {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return store.Schema{Owner: "workflow", Migrations: dir}
}
