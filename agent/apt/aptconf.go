package apt

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// aptConf holds the settings of apt.conf that matter here, by lower-case key
// such as "acquire::http::proxy".
type aptConf map[string]string

// readAptConf reads etc/apt/apt.conf.d/* and etc/apt/apt.conf below root, in
// apt's order. What cannot be read is left out.
func readAptConf(root string) aptConf {
	conf := aptConf{}
	dir := filepath.Join(root, "etc/apt/apt.conf.d")
	entries, _ := os.ReadDir(dir)
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == "" || ext == ".conf" {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files)
	for _, f := range append(files, filepath.Join(root, "etc/apt/apt.conf")) {
		if b, err := os.ReadFile(f); err == nil {
			conf.parse(string(b))
		}
	}
	return conf
}

// parse adds the settings of one file; later ones win. It forgives: what is
// no setting is skipped.
func (c aptConf) parse(text string) {
	var scopes []string
	key, value, quoted := "", "", false
	set := func() {
		if key != "" && quoted {
			c[strings.Join(append(scopes[:len(scopes):len(scopes)], key), "::")] = value
		}
		key, value, quoted = "", "", false
	}
	for text != "" {
		switch {
		case strings.HasPrefix(text, "#clear "):
			name, rest, _ := strings.Cut(text[len("#clear "):], ";")
			c.clear(strings.ToLower(strings.TrimSpace(name)))
			text = rest
		case text[0] == '#' || strings.HasPrefix(text, "//"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text, "*/")
		case text[0] == '"':
			value, text, _ = strings.Cut(text[1:], `"`)
			quoted = true
		case text[0] == '{':
			scopes = append(scopes, key)
			key, value, quoted = "", "", false
			text = text[1:]
		case text[0] == '}':
			set()
			scopes = scopes[:max(0, len(scopes)-1)]
			text = text[1:]
		case text[0] == ';':
			set()
			text = text[1:]
		case strings.IndexByte(" \t\r\n", text[0]) >= 0:
			text = text[1:]
		default:
			n := strings.IndexAny(text, " \t\r\n\"{};")
			if n < 0 {
				n = len(text)
			}
			word := text[:n]
			text = text[n:]
			if key == "" {
				key = strings.ToLower(word)
			} else {
				value, quoted = word, true
			}
		}
	}
}

func (c aptConf) clear(name string) {
	for k := range c {
		if k == name || strings.HasPrefix(k, name+"::") {
			delete(c, k)
		}
	}
}

// off says whether a setting that is on by default was turned off.
func (c aptConf) off(key string) bool { return isNo(c[strings.ToLower(key)]) }

// proxy chooses the proxy of a request as apt does: by host, by scheme, then
// from the environment, whose no_proxy it honours.
func (c aptConf) proxy(r *http.Request) (*url.URL, error) {
	scheme, host := r.URL.Scheme, r.URL.Hostname()
	value, ok := c["acquire::"+scheme+"::proxy::"+strings.ToLower(host)]
	if !ok {
		value, ok = c["acquire::"+scheme+"::proxy"]
	}
	if !ok || value == "" {
		if outsideProxy(host, os.Getenv("no_proxy")) {
			return nil, nil
		}
		value = os.Getenv(scheme + "_proxy")
	}
	if value == "" || strings.EqualFold(value, "DIRECT") || value == "false" {
		return nil, nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	return url.Parse(value)
}

// outsideProxy says whether the host is in a no_proxy list.
func outsideProxy(host, list string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), ".")
		if item == "*" || item != "" && (host == item || strings.HasSuffix(host, "."+item)) {
			return true
		}
	}
	return false
}
