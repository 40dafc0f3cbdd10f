package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/volvox-os/volvox/agent"
	"github.com/volvox-os/volvox/agent/apt"
)

// A mirror that goes back to an older index, signed as it is, does not lead
// back to older packages: neither than those that this machine knows, nor than
// those that its apt knows.
func TestOlderIndex(t *testing.T) {
	for _, known := range []string{"by us", "by apt", "by nobody"} {
		t.Run(known, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			r.add("engine", "2.0", "", file{name: "./usr/bin/engine", text: "run", mode: 0o755})
			r.age = 24 * time.Hour
			r.publish()
			old := map[string][]byte{}
			names := []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz"}
			for _, name := range names {
				old[name] = []byte(readFile(t, filepath.Join(r.dir, name)))
			}
			r.add("engine", "2.1", "", file{name: "./usr/bin/engine", text: "run well", mode: 0o755})
			r.age = 0
			r.publish()
			h := newHost(t).trusting("test", r)
			s := h.storeWith(Options{Sources: apt.Options{IndexAge: time.Nanosecond}})
			want := "2.1"
			switch known {
			case "by us":
				must(t, s, "deb:engine")
			case "by apt":
				prefix := "var/lib/apt/lists/" + strings.TrimPrefix(r.server.URL, "http://") + "_dists_stable_"
				h.write(prefix+"InRelease", readFile(t, filepath.Join(r.dir, names[0])))
				h.write(prefix+"main_binary-amd64_Packages", r.index.String())
			default:
				want = "2.0"
			}
			for name, b := range old {
				r.write(name, b)
				later := time.Now().Add(time.Hour) // it does not say that nothing has changed
				if err := os.Chtimes(filepath.Join(r.dir, name), later, later); err != nil {
					t.Fatal(err)
				}
			}
			for _, ref := range []string{"deb:engine,sed", "deb:engine,dash"} {
				if got := version(must(t, s, ref), "engine"); got != want {
					t.Errorf("%s has version %s, want %s", ref, got, want)
				}
			}
		})
	}
}

func version(i agent.Image, name string) string {
	for _, p := range i.Packages {
		if p.Name == name {
			return p.Version
		}
	}
	return ""
}
