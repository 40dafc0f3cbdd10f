package secret

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/store"
)

// key is a secret key of AES-256. In its file it is one line,
//
//	volvox-secret-key-1 <id> <key in base64>
//
// with an id that is a hash of the key, so that a damaged file is noticed and
// sealed values can say which key they need.
type key struct{ bytes []byte }

const (
	keyFormat = "volvox-secret-key-1"
	keySize   = 32
)

func (k key) id() string {
	sum := sha256.Sum256(append([]byte("volvox secret key id\x00"), k.bytes...))
	return hex.EncodeToString(sum[:8])
}

func (k key) line() string {
	return fmt.Sprintf("%s %s %s\n", keyFormat, k.id(), base64.StdEncoding.EncodeToString(k.bytes))
}

func parseKey(text string) (key, error) {
	words := strings.Fields(text)
	if len(words) != 3 || words[0] != keyFormat {
		return key{}, fmt.Errorf("it is not one line of %s, an id and a key", keyFormat)
	}
	b, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil || len(b) != keySize {
		return key{}, errors.New("its key is not 32 bytes of base64")
	}
	if k := (key{b}); k.id() == words[1] {
		return k, nil
	}
	return key{}, errors.New("its key does not match its id")
}

// Open reads the key file, or makes it (0600, durable before it is used) when
// there is none and the kernel has no secrets yet. A key file that others may
// read, or that belongs to one, is E_DENIED; a file that is missing though the kernel has secrets,
// damaged, or of another kernel is E_CORRUPT.
func Open(ctx context.Context, db *store.DB, keyFile string) (*Service, error) {
	used, err := keysUsed(ctx, db)
	if err != nil {
		return nil, err
	}
	k, err := readKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if len(used) > 0 {
			return nil, volvox.Errorf(volvox.Corrupt, "the key file %s is missing", keyFile).
				Because("the kernel has secrets that open only with it (key %s)", strings.Join(used, ", ")).
				WithTry("restore %s from its backup", keyFile)
		}
		k, err = makeKey(keyFile)
	}
	if err != nil {
		return nil, err
	}
	for _, id := range used {
		if id != k.id() {
			return nil, volvox.Errorf(volvox.Corrupt, "the key file %s is not that of this kernel", keyFile).
				Because("it holds the key %s, and the kernel has secrets of the key %s", k.id(), id).
				WithTry("restore %s from the backup made with this kernel", keyFile)
		}
	}
	return newService(k, keyFile)
}

// keysUsed returns the ids of the keys that the kernel's secrets need.
func keysUsed(ctx context.Context, db *store.DB) (ids []string, err error) {
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		ids, err = store.All[string](tx, `SELECT DISTINCT key_id FROM secrets ORDER BY key_id`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which keys the secrets need: %w", err)
	}
	return ids, nil
}

// readKey reads an existing key file; fs.ErrNotExist if there is none.
func readKey(path string) (key, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return key{}, volvox.Errorf(volvox.Denied, "the key file %s cannot be read", path).From(err).
			WithTry("become the user whose computer it is")
	}
	if err != nil {
		return key{}, fmt.Errorf("open the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key{}, fmt.Errorf("look at the key file: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return key{}, volvox.Errorf(volvox.Denied, "the key file %s is not safe", path).
			Because("others may read or change it: its mode is %v", mode).
			WithTry("chmod 600 %s", path)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return key{}, volvox.Errorf(volvox.Denied, "the key file %s is not safe", path).
			Because("it belongs to another user, with the id %d", stat.Uid).
			WithTry("chown %d %s", os.Geteuid(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return key{}, fmt.Errorf("read the key file: %w", err)
	}
	k, err := parseKey(string(text))
	if err != nil {
		return key{}, volvox.Errorf(volvox.Corrupt, "the key file %s is damaged", path).From(err).
			WithTry("restore %s from its backup", path)
	}
	return k, nil
}

// makeKey makes the key file, whole or not at all, and returns when it is on
// disk. If another process is first, its key is the key.
func makeKey(path string) (key, error) {
	k := key{make([]byte, keySize)}
	rand.Read(k.bytes) // never fails
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".secret-key-*") // 0600
	if err != nil {
		return key{}, fmt.Errorf("make the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(k.line())
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return key{}, fmt.Errorf("write the key file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return key{}, fmt.Errorf("make the key file: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return key{}, fmt.Errorf("make the key file durable: %w", err)
	}
	return readKey(path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
