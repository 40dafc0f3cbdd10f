// Package secret keeps secrets encrypted with a key that is not in the
// kernel. It owns the table secrets.
package secret

import (
	"context"

	"github.com/volvox-os/volvox/store"
)

// Service seals and opens secrets.
type Service struct{}

// Open reads the key file, or makes it (0600, durable before it is used) when
// there is none and the kernel has no secrets yet.
func Open(ctx context.Context, db *store.DB, keyFile string) (*Service, error) { panic("not built") }

// Schema is the table secrets.
func Schema() store.Schema { panic("not built") }

// Put stores a value under a name such as "shop/admin", replacing an older one.
func (s *Service) Put(tx *store.Tx, project, name, value string) error { panic("not built") }

// Get returns the value; code E_NOT_FOUND if there is none.
func (s *Service) Get(tx *store.Tx, project, name string) (string, error) { panic("not built") }

// Delete forgets the value. Not there: nil.
func (s *Service) Delete(tx *store.Tx, project, name string) error { panic("not built") }

// Generate returns a new password: 32 characters of letters and digits.
func Generate() string { panic("not built") }
