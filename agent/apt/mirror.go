package apt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// errNotThere is a mirror's word that it has no such file.
var errNotThere = errors.New("not there")

// errScheme is an address of a kind that only apt reads, such as cdrom.
var errScheme = errors.New("addresses of this kind cannot be read")

// errStalled is why a transfer that brings no more bytes is given up.
var errStalled = errors.New("no more bytes came")

// getter reads files of mirrors: http, https, file and copy addresses. It
// never waits for a silent peer longer than stall.
type getter struct {
	client *http.Client
	stall  time.Duration
}

// newClient returns a client that goes through apt's proxies.
func newClient(conf aptConf, connect, stall time.Duration) *http.Client {
	return &http.Client{CheckRedirect: checkRedirect, Transport: &http.Transport{
		Proxy:                 conf.proxy,
		DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   connect,
		ResponseHeaderTimeout: stall,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       10 * time.Second,
		DisableCompression:    true, // what is fetched has its own checksum as it is
	}}
}

// checkRedirect follows a mirror, but not from https to http, as apt does not.
func checkRedirect(to *http.Request, via []*http.Request) error {
	switch from := via[len(via)-1].URL; {
	case len(via) >= 10:
		return errors.New("the mirror redirects in a circle")
	case from.Scheme == "https" && to.URL.Scheme != "https":
		return fmt.Errorf("the mirror redirects from https to %s", to.URL.Scheme)
	}
	return nil
}

// answer is an open file of a mirror.
type answer struct {
	io.ReadCloser
	size       int64 // -1: not told
	same       bool  // not modified since; there is no body
	etag, date string
}

// open asks for a file. etag and date, from an earlier answer, make the
// request conditional. A missing file is errNotThere.
func (g *getter) open(ctx context.Context, address, etag, date string) (*answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", redact(address), err)
	}
	switch u.Scheme {
	case "file", "copy":
		return openLocal(u.Path)
	case "http", "https":
		return g.request(ctx, u, etag, date)
	}
	return nil, fmt.Errorf("%w: %s", errScheme, u.Scheme)
}

func openLocal(path string) (*answer, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotThere
	}
	if err != nil {
		return nil, err
	}
	size := int64(-1)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	return &answer{ReadCloser: f, size: size}, nil
}

func (g *getter) request(ctx context.Context, u *url.URL, etag, date string) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	req.Header.Set("User-Agent", "volvox")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if date != "" {
		req.Header.Set("If-Modified-Since", date)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		cancel(nil)
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which may hold a password
		}
		return nil, err
	}
	body := &watched{ReadCloser: resp.Body, cancel: cancel, ctx: ctx, stall: g.stall}
	a := &answer{ReadCloser: body, size: resp.ContentLength, etag: resp.Header.Get("ETag"), date: resp.Header.Get("Last-Modified")}
	switch {
	case resp.StatusCode == http.StatusOK:
		return a, nil
	case resp.StatusCode == http.StatusNotModified && (etag != "" || date != ""):
		a.same = true
		return a, nil
	}
	a.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return nil, errNotThere
	}
	return nil, statusError(resp.StatusCode)
}

// statusError is an HTTP status that is no success.
type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("the mirror answered %d %s", int(s), http.StatusText(int(s)))
}

// watched ends a transfer that brings nothing for a while.
type watched struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.stall, func() { w.cancel(errStalled) })
	n, err := w.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && errors.Is(context.Cause(w.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (w *watched) Close() error {
	w.cancel(nil)
	return w.ReadCloser.Close()
}

// worthRetrying says whether the same request may soon succeed: a broken
// transfer or a mirror in trouble, but not one that cannot be reached.
func worthRetrying(err error) bool {
	var status statusError
	var dial *net.OpError
	switch {
	case errors.Is(err, errNotThere), errors.Is(err, errScheme), errors.Is(err, errStalled), errors.Is(err, fs.ErrPermission), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), diskFull(err):
		return false
	case errors.As(err, &status):
		return status >= 500 || status == http.StatusTooManyRequests
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	}
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// retry calls f up to three times, while that is worth it.
func retry(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == 3 || !worthRetrying(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		}
	}
}

// redact returns an address without its password, for messages.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}
