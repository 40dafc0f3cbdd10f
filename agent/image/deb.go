package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/volvox-os/volvox/agent/apt"
)

// unpackDeb unpacks the files of a Debian package.
func (t *tree) unpackDeb(ctx context.Context, r io.Reader, rank int) error {
	name, data, err := debData(r)
	if err != nil {
		return err
	}
	files, err := apt.Decompress(data, strings.TrimPrefix(name, "data.tar"))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer files.Close()
	return t.unpackTar(ctx, tar.NewReader(files), rank)
}

// debData finds the member data.tar* of a package, which is an ar archive.
func debData(r io.Reader) (name string, data io.Reader, err error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return "", nil, errors.New("it is not a Debian package")
	}
	head := make([]byte, 60)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return "", nil, errors.New("the package has no files in it")
		}
		if string(head[58:]) != "`\n" {
			return "", nil, errors.New("the package is damaged")
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(head[48:58])), 10, 64)
		if err != nil || size < 0 {
			return "", nil, errors.New("the package is damaged")
		}
		name := strings.TrimSuffix(strings.TrimSpace(string(head[:16])), "/")
		if strings.HasPrefix(name, "data.tar") {
			return name, io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return "", nil, errors.New("the package is cut off")
		}
	}
}
