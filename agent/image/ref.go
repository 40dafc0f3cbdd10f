package image

import (
	"path/filepath"
	"strings"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/agent/apt"
)

// reference says what an image is made of: packages, or an archive.
type reference struct {
	text     string
	packages []apt.Request
	path     string
}

// archiveFormats are the endings of root file system archives.
var archiveFormats = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"}

// parseRef reads "deb:name[=version],…" or "file:/path/to/archive.tar".
func parseRef(text string) (reference, error) {
	r := reference{text: text}
	kind, rest, _ := strings.Cut(text, ":")
	bad := volvox.Errorf(volvox.BadImage, "image %q cannot be used", text)
	switch kind {
	case "deb":
		for word := range strings.SplitSeq(rest, ",") {
			name, version, given := strings.Cut(strings.TrimSpace(word), "=")
			if !apt.ValidName(name) || given && version == "" {
				return r, bad.Because("%q is not a package name or name=version", word)
			}
			r.packages = append(r.packages, apt.Request{Name: name, Version: version})
		}
		return r, nil
	case "file":
		r.path = rest
		if !filepath.IsAbs(rest) {
			return r, bad.Because("the path of a file: reference must be absolute")
		}
		for _, ending := range archiveFormats {
			if strings.HasSuffix(rest, ending) {
				return r, nil
			}
		}
		return r, bad.Because("an archive's name ends in one of %s", strings.Join(archiveFormats, ", "))
	}
	return r, bad.Because("a reference begins with deb: or file:").
		WithTry("deb:PACKAGE[=VERSION],…").WithTry("file:/path/to/archive.tar[.gz|.xz|.zst]")
}
