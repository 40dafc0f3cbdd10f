package machine

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the tables machines, images and image_packages.
func Schema() store.Schema {
	return store.Schema{Owner: "machine", Migrations: migrations}
}

// Service keeps machines in the kernel. The functions of this package that
// take a *store.Tx are part of the caller's transaction; the methods are
// transactions of their own.
type Service struct{ db *store.DB }

// New makes the service; db must have been migrated to [Schema].
func New(db *store.DB) *Service { return &Service{db} }

const columns = `name, id, phase, address, range, arch, kernel, os, cpu_millis, memory_bytes, disk_bytes, version, boot_id, message, joined_at, booted_at`

// Register says that a machine is there, with what it has. Its name is its
// key: registering again changes all but its ID and when it joined. The ID is
// made up if m has none; so are the times and the phase, which is Running.
// Nothing is written when nothing differs.
func (s *Service) Register(ctx context.Context, m Machine) error {
	if err := volvox.CheckName("machine", m.Name); err != nil {
		return err
	}
	if m.ID == "" {
		m.ID = volvox.NewID()
	}
	if m.Phase == "" {
		m.Phase = volvox.Running
	}
	now := time.Now()
	if m.JoinedAt.IsZero() {
		m.JoinedAt = now
	}
	if m.BootedAt.IsZero() {
		m.BootedAt = now
	}
	err := s.db.Update(store.WithName(ctx, "register machine "+m.Name), func(tx *store.Tx) error {
		known, err := store.All[Machine](tx, `SELECT `+columns+` FROM machines WHERE name = $1`, m.Name)
		if err != nil {
			return err
		}
		args := []any{m.Name, m.ID, m.Phase, m.Address, m.Range, m.Arch, m.Kernel, m.OS, m.CPUMillis, m.MemoryBytes, m.DiskBytes,
			m.Version, m.BootID, m.Message, m.JoinedAt, m.BootedAt}
		if len(known) == 0 {
			_, err = tx.Exec(`INSERT INTO machines (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, args...)
			return err
		}
		if known[0].sameAs(m) {
			return nil
		}
		args = append(args[:1:1], args[2:14]...)
		_, err = tx.Exec(`UPDATE machines SET phase = $2, address = $3, range = $4, arch = $5, kernel = $6, os = $7, cpu_millis = $8, memory_bytes = $9,
			disk_bytes = $10, version = $11, boot_id = $12, message = $13, booted_at = $14 WHERE name = $1`, append(args, m.BootedAt)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("register machine %s: %w", m.Name, err)
	}
	return nil
}

// sameAs says whether registering m would change nothing.
func (known Machine) sameAs(m Machine) bool {
	m.ID, m.JoinedAt = known.ID, known.JoinedAt
	if m.BootedAt.UnixMicro() != known.BootedAt.UnixMicro() {
		return false
	}
	m.BootedAt = known.BootedAt
	return m == known
}

// List returns all machines by name.
func List(tx *store.Tx) ([]Machine, error) {
	machines, err := store.All[Machine](tx, `SELECT `+columns+` FROM machines ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	return machines, nil
}

// Get returns the machine; E_NOT_FOUND if there is none of this name.
func Get(tx *store.Tx, name string) (Machine, error) {
	found, err := store.All[Machine](tx, `SELECT `+columns+` FROM machines WHERE name = $1`, name)
	if err != nil {
		return Machine{}, fmt.Errorf("get machine %s: %w", name, err)
	}
	if len(found) == 0 {
		return Machine{}, volvox.Errorf(volvox.NotFound, "there is no machine %q", name).
			About(volvox.Ref{Kind: "machine", Name: name}).WithTry("volvox sql \"SELECT name, phase FROM machines\"")
	}
	return found[0], nil
}

// List returns all machines by name.
func (s *Service) List(ctx context.Context) (machines []Machine, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) { machines, err = List(tx); return err })
	return machines, err
}

// Get returns the machine; E_NOT_FOUND if there is none of this name.
func (s *Service) Get(ctx context.Context, name string) (m Machine, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) { m, err = Get(tx, name); return err })
	return m, err
}
