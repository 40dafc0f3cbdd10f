package apt

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A mirror may lead to another one, but not from https to http, nor in a
// circle.
func TestRedirects(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/circle" {
			http.Redirect(w, r, "/circle", http.StatusFound)
			return
		}
		fmt.Fprint(w, "plain")
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{"/down": plain.URL + "/file", "/same": "/file"}[r.URL.Path]
		if to == "" {
			fmt.Fprint(w, "secure")
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}))
	defer secure.Close()
	client := newClient(aptConf{}, time.Minute, time.Minute)
	client.Transport = secure.Client().Transport
	g := &getter{client, time.Minute}
	for address, want := range map[string]string{
		secure.URL + "/same":  "secure",
		secure.URL + "/down":  "redirects from https to http",
		plain.URL + "/file":   "plain",
		plain.URL + "/circle": "in a circle",
	} {
		got := ""
		a, err := g.open(t.Context(), address, "", "")
		if err != nil {
			got = err.Error()
		} else {
			b, err := readLimited(a, 100)
			if err != nil {
				t.Error(err)
			}
			got = string(b)
			a.Close()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
