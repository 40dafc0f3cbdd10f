// Package secret keeps secrets encrypted with a key that is not in the
// kernel. It owns the table secrets.
//
// A value is sealed with AES-256-GCM under the key in the key file, and bound
// to its project and name: a sealed value moved to another row does not open.
// Whoever has the kernel without the key file has no secret; whoever has the
// key file and the kernel has them all. So they are backed up apart.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"fmt"
	"regexp"
	"time"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the table secrets.
func Schema() store.Schema {
	return store.Schema{Owner: "secret", Migrations: migrations}
}

// Service seals and opens secrets. It holds the key and may be used by many
// goroutines.
type Service struct {
	keyID  string
	aead   cipher.AEAD
	source string // the key file, for errors
}

func newService(k key, source string) (*Service, error) {
	block, err := aes.NewCipher(k.bytes)
	if err != nil {
		return nil, fmt.Errorf("use the key in %s: %w", source, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("use the key in %s: %w", source, err)
	}
	return &Service{k.id(), aead, source}, nil
}

// bind is the text that a sealed value is bound to.
func bind(project, name string) []byte {
	return []byte("volvox secret 1\x00" + project + "\x00" + name)
}

var nameText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

// Put stores a value under a name such as "shop/admin", replacing an older
// one. The elements of a name are usable as file names: letters, digits,
// dashes, dots and underscores; another name is E_BAD_NAME.
func (s *Service) Put(tx *store.Tx, project, name, value string) error {
	if !nameText.MatchString(name) || len(name) > 200 {
		return volvox.Errorf(volvox.BadName, "%q cannot be the name of a secret", name).
			Because("its elements, with / between them, are of letters, digits, dashes, dots and underscores")
	}
	sealed := base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(value), bind(project, name)))
	now := time.Now()
	_, err := tx.Exec(`INSERT INTO secrets (project, name, sealed, key_id, created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project, name) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id, changed_at = excluded.changed_at`,
		project, name, sealed, s.keyID, now, now)
	if err != nil {
		return fmt.Errorf("put secret %s: %w", name, err)
	}
	return nil
}

// sealedRow is what is read of a row.
type sealedRow struct {
	Sealed string `json:"sealed"`
	KeyID  string `json:"key_id"`
}

// Get returns the value; code E_NOT_FOUND if there is none, E_CORRUPT if it
// does not open with this key.
func (s *Service) Get(tx *store.Tx, project, name string) (string, error) {
	rows, err := store.All[sealedRow](tx, `SELECT sealed, key_id FROM secrets WHERE project = $1 AND name = $2`, project, name)
	if err != nil {
		return "", fmt.Errorf("get secret %s: %w", name, err)
	}
	ref := volvox.Ref{Kind: "secret", Project: project, Name: name}
	if len(rows) == 0 {
		return "", volvox.Errorf(volvox.NotFound, "there is no %s", ref).About(ref).
			WithTry("volvox sql \"SELECT project, name FROM secrets\"")
	}
	corrupt := volvox.Errorf(volvox.Corrupt, "%s cannot be opened", ref).About(ref)
	if rows[0].KeyID != s.keyID {
		return "", corrupt.Because("it was sealed with the key %s, and %s holds the key %s", rows[0].KeyID, s.source, s.keyID).
			WithTry("restore %s from the backup made with this kernel", s.source)
	}
	sealed, err := base64.StdEncoding.DecodeString(rows[0].Sealed)
	if err != nil {
		return "", corrupt.From(err)
	}
	value, err := s.aead.Open(nil, nil, sealed, bind(project, name))
	if err != nil {
		return "", corrupt.Because("its row was changed, or moved from another name")
	}
	return string(value), nil
}

// Delete forgets the value. Not there: nil.
func (s *Service) Delete(tx *store.Tx, project, name string) error {
	if _, err := tx.Exec(`DELETE FROM secrets WHERE project = $1 AND name = $2`, project, name); err != nil {
		return fmt.Errorf("delete secret %s: %w", name, err)
	}
	return nil
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Generate returns a new password: 32 characters of letters and digits, 190
// bits of randomness.
func Generate() string {
	// A byte is used only below the largest multiple of the alphabet's size,
	// so that each character is equally likely.
	const fair = 256 - 256%len(alphabet)
	password := make([]byte, 0, 32)
	for len(password) < cap(password) {
		var b [48]byte
		rand.Read(b[:]) // never fails
		for _, x := range b {
			if int(x) < fair && len(password) < cap(password) {
				password = append(password, alphabet[int(x)%len(alphabet)])
			}
		}
	}
	return string(password)
}
