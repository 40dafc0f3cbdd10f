package apt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"github.com/volvox-os/volvox"
)

// keptRelease is a release file as it was fetched, signature and all.
type keptRelease struct {
	FetchedAt time.Time `json:"fetched_at"`
	ETag      string    `json:"etag,omitempty"`
	Date      string    `json:"date,omitempty"` // Last-Modified
	Text      string    `json:"text"`
	Signature string    `json:"signature,omitempty"` // Release.gpg
	Unsigned  bool      `json:"-"`                   // a trusted source without release file
}

func (k keptRelease) has() bool { return k.Text != "" }

func readKept(name string) (k keptRelease) {
	if b, err := os.ReadFile(name); err == nil {
		_ = json.Unmarshal(b, &k)
	}
	return k
}

func (k keptRelease) write(name string) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return writeFile(name, b)
}

// writeFile replaces a file in one step.
func writeFile(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), TempPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// stripSignature returns the text of a clear-signed file, unchecked.
func stripSignature(b []byte) []byte {
	if block, _ := clearsign.Decode(b); block != nil {
		return block.Plaintext
	}
	return b
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// readLimited reads all, or fails when it is more than the limit.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("it is larger than %d MiB", limit>>20)
	}
	return b, err
}

// codedError is an error whose code is known where it arose; those who know
// what was asked for make it one for people.
type codedError struct {
	code volvox.Code
	err  error
}

func coded(code volvox.Code, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code, err}
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// codeOf finds the code of an error of this package; empty for nil.
func codeOf(err error) volvox.Code {
	var c *codedError
	switch {
	case err == nil:
		return ""
	case diskFull(err):
		return volvox.DiskFull
	case errors.As(err, &c):
		return c.code
	}
	return volvox.CodeOf(err)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
