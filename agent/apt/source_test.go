package apt

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// host is a root directory with apt's configuration.
type host struct {
	t    *testing.T
	root string
}

func newHost(t *testing.T) *host { return &host{t, t.TempDir()} }

func (h *host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func TestReadSources(t *testing.T) {
	h := newHost(t)
	h.write("etc/apt/sources.list", `
# a comment
deb http://a.example/debian stable main contrib # trailing
deb-src http://a.example/debian stable main
deb [ arch=amd64,arm64 signed-by=/k.gpg trusted=yes by-hash=no ] http://b.example/x/ ./
deb [arch=s390x] http://c.example/ stable main
rpm http://d.example/ stable main
deb http://e.example/ stable
deb http://a.example/debian stable non-free main
`)
	h.write("etc/apt/sources.list.d/z.sources", `
Types: deb deb-src
URIs: https://f.example/debian https://g.example/debian
Suites: one two
Components: main
# a comment inside
Check-Valid-Until: no
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: no
URIs: https://off.example/
Suites: x
Components: main

Types: deb
URIs: https://h.example/$(ARCH)
Suites: flat/$(ARCH)/
`)
	h.write("etc/apt/sources.list.d/x.list.disabled", "deb http://no.example/ a b\n")
	sources, problems := readSources(h.root, "amd64")
	var got []string
	for _, s := range sources {
		got = append(got, s.String())
	}
	want := []string{
		"http://a.example/debian/ stable main contrib non-free",
		"http://b.example/x/ ./",
		"https://f.example/debian/ one main", "https://f.example/debian/ two main",
		"https://g.example/debian/ one main", "https://g.example/debian/ two main",
		"https://h.example/$(ARCH)/ flat/amd64/",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("sources:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(problems) != 2 || !strings.Contains(problems[0].Error(), "sources.list:7") || !strings.Contains(problems[1].Error(), "sources.list:8") {
		t.Errorf("problems: %v", problems)
	}
	if b := sources[1]; !b.trusted || !b.noByHash || b.base() != "" || len(b.signedBy) != 1 {
		t.Errorf("options of %v: %+v", b, b)
	}
	if f := sources[2]; !f.noExpiry || f.inlineKey != "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n" {
		t.Errorf("options of %v: %+v", f, f)
	}
	if f := sources[6]; f.base() != "flat/amd64/" {
		t.Errorf("base of %v is %q", f, f.base())
	}
}

func TestAptConf(t *testing.T) {
	h := newHost(t)
	h.write("etc/apt/apt.conf.d/10a", `
// a comment
Acquire::http::Proxy "http://first.example:1/";
Acquire { Check-Valid-Until "false"; /* inside */ http { Proxy::direct.example "DIRECT"; }; };
APT { NeverAutoRemove { "^x"; "^y//z"; }; };
# another comment
`)
	h.write("etc/apt/apt.conf.d/20b.conf", "Acquire::http::Proxy \"http://second.example:2\";\nAcquire::https::Proxy \"false\";\n#clear APT::Never;\n")
	h.write("etc/apt/apt.conf.d/30c.disabled", `Acquire::http::Proxy "http://third.example";`)
	conf := readAptConf(h.root)
	if !conf.off("Acquire::Check-Valid-Until") || conf.off("Acquire::Check-Date") {
		t.Errorf("settings: %v", conf)
	}
	t.Setenv("https_proxy", "http://env.example")
	t.Setenv("http_proxy", "env2.example:3")
	for address, want := range map[string]string{
		"http://x.example/":      "http://second.example:2",
		"http://direct.example/": "<nil>",
		"https://x.example/":     "<nil>",
	} {
		if got := proxyOf(t, conf, address); got != want {
			t.Errorf("proxy of %s is %s, want %s", address, got, want)
		}
	}
	t.Setenv("no_proxy", "localhost, .inside.example")
	if got := proxyOf(t, aptConf{}, "http://a.inside.example/"); got != "<nil>" {
		t.Errorf("no_proxy is not honoured: %s", got)
	}
	if got := proxyOf(t, aptConf{}, "http://a.outside.example/"); got != "http://env2.example:3" {
		t.Errorf("http_proxy is not honoured: %s", got)
	}
}

func proxyOf(t *testing.T, conf aptConf, address string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := conf.proxy(r)
	if err != nil {
		t.Fatal(err)
	}
	if u == nil {
		return "<nil>"
	}
	return u.String()
}

func TestAptsFileNames(t *testing.T) {
	l := &sourceLoad{Sources: &Sources{root: "/r"}, source: source{uri: "http://u:p@deb.example/a_b/"}}
	if got, want := l.aptsFile("dists/x/InRelease"), filepath.FromSlash("/r/var/lib/apt/lists/deb.example_a%5fb_dists_x_InRelease"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := redact("http://u:secret@deb.example/"); strings.Contains(got, "secret") {
		t.Errorf("a password is shown: %s", got)
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [a=b] http://x/ y z # c\n", false)
	f.Add("Types: deb\nURIs: http://x/\nSuites: a b/\nSigned-By:\n -----BEGIN PGP\n .\n", true)
	f.Fuzz(func(t *testing.T, text string, deb822 bool) {
		parse := parseSourcesList
		if deb822 {
			parse = parseSourcesFile
		}
		sources, _ := parse(text, "f")
		for _, s := range sources {
			if s.flat() != (len(s.components) == 0) || !strings.HasSuffix(s.uri, "/") {
				t.Errorf("%q became %+v", text, s)
			}
			_ = s.base()
		}
		conf := aptConf{}
		conf.parse(text)
	})
}
