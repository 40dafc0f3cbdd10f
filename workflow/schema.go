package workflow

import (
	"embed"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables workflows and steps.
func Schema() store.Schema {
	return store.Schema{Owner: "workflow", Migrations: migrations}
}
