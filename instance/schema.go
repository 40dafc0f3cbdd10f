package instance

import (
	"embed"

	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables instances, instance_specs, volumes, placements and
// actions.
func Schema() store.Schema {
	return store.Schema{Owner: "instance", Migrations: migrations}
}
