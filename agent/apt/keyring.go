package apt

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keysOf returns the keys that the source trusts: its inline key, the
// keyrings or fingerprints of Signed-By, or else all that apt trusts.
func keysOf(root string, s source) (openpgp.EntityList, error) {
	if s.inlineKey != "" {
		return parseKeys([]byte(s.inlineKey))
	}
	var keys openpgp.EntityList
	var prints []string
	for _, by := range s.signedBy {
		if !strings.HasPrefix(by, "/") {
			prints = append(prints, strings.ToUpper(strings.TrimSuffix(by, "!")))
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, by))
		if err != nil {
			return nil, fmt.Errorf("Signed-By: %w", err)
		}
		more, err := parseKeys(b)
		if err != nil {
			return nil, fmt.Errorf("Signed-By %s: %w", by, err)
		}
		keys = append(keys, more...)
	}
	if len(s.signedBy) == 0 {
		return trustedKeys(root), nil
	}
	if len(prints) > 0 {
		for _, e := range trustedKeys(root) {
			if hasPrint(e, prints) {
				keys = append(keys, e)
			}
		}
	}
	return keys, nil
}

// trustedKeys are the keys of etc/apt/trusted.gpg and trusted.gpg.d. A file
// that cannot be read is left out, as apt does.
func trustedKeys(root string) openpgp.EntityList {
	dir := filepath.Join(root, "etc/apt")
	files := []string{filepath.Join(dir, "trusted.gpg")}
	for _, pattern := range []string{"*.gpg", "*.asc"} {
		found, _ := filepath.Glob(filepath.Join(dir, "trusted.gpg.d", pattern))
		files = append(files, found...)
	}
	var keys openpgp.EntityList
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			if more, err := parseKeys(b); err == nil {
				keys = append(keys, more...)
			}
		}
	}
	return keys
}

// parseKeys reads a keyring: armored, also several blocks after each other,
// or binary.
func parseKeys(b []byte) (openpgp.EntityList, error) {
	if !bytes.Contains(b, []byte("-----BEGIN PGP")) {
		return openpgp.ReadKeyRing(bytes.NewReader(b))
	}
	var keys openpgp.EntityList
	r := bytes.NewReader(b)
	for {
		block, err := armor.Decode(r)
		if err != nil {
			break // no further block
		}
		more, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
		// armor.Decode reads ahead; go on behind the end of this block
		end := []byte("-----END PGP PUBLIC KEY BLOCK-----")
		if i := bytes.Index(b, end); i >= 0 {
			b = b[i+len(end):]
		} else {
			break
		}
		r = bytes.NewReader(b)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

func hasPrint(e *openpgp.Entity, prints []string) bool {
	all := []string{strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))}
	for _, sub := range e.Subkeys {
		all = append(all, strings.ToUpper(hex.EncodeToString(sub.PublicKey.Fingerprint)))
	}
	for _, have := range all {
		for _, want := range prints {
			if want != "" && len(want) >= 16 && strings.HasSuffix(have, want) {
				return true
			}
		}
	}
	return false
}

// pgpConfig refuses the digests that apt refuses.
func pgpConfig() *packet.Config {
	return &packet.Config{RejectMessageHashAlgorithms: map[crypto.Hash]bool{
		crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true,
	}}
}

// openInRelease checks a clear-signed release file and returns what was
// signed, and nothing else of the file.
func openInRelease(b []byte, keys openpgp.EntityList) ([]byte, error) {
	block, rest := clearsign.Decode(b)
	if block == nil {
		return nil, errors.New("it is not clear-signed")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("something follows the signature")
	}
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, errors.New("something precedes what was signed")
	}
	if _, err := block.VerifySignature(keys, pgpConfig()); err != nil {
		return nil, explainSignature(err)
	}
	return block.Plaintext, nil
}

// checkDetached checks Release against Release.gpg.
func checkDetached(release, signature []byte, keys openpgp.EntityList) error {
	check := openpgp.CheckDetachedSignature
	if bytes.Contains(signature, []byte("-----BEGIN PGP")) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	_, err := check(keys, bytes.NewReader(release), bytes.NewReader(signature), pgpConfig())
	return explainSignature(err)
}

// explainSignature puts the library's errors into words.
func explainSignature(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return errors.New("it is signed by no key that this source trusts")
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
		return errors.New("the key or the signature has expired")
	}
	return fmt.Errorf("the signature is wrong (%w)", err)
}
