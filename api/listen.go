package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/volvox-os/volvox"
)

// Listener is an address on which the API can be served.
type Listener struct {
	net.Listener
	address string
	path    string // of a unix socket
	token   string // that requests must bear
	served  atomic.Bool
	gone    sync.Once
}

// Address is the path of the socket, or the URL of a TCP listener.
func (l *Listener) Address() string { return l.address }

// Close stops listening and removes the socket. Twice is allowed.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.gone.Do(func() {
		if l.path != "" {
			os.Remove(l.path)
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Listen makes a unix socket that only its owner may use. A socket that
// nobody answers on is replaced; if somebody does, the error is E_ALREADY_UP.
func Listen(path string) (*Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, volvox.Errorf(volvox.AlreadyUp, "a computer is already up here").
			Because("something answers on %s", path).WithTry("volvox status").WithTry("volvox down")
	}
	if len(path) > 100 {
		return nil, volvox.Errorf(volvox.BadInput, "the path of the API's socket is too long").
			Because("%s has %d bytes, a socket's path at most 100", path, len(path)).WithTry("choose a shorter directory with --data")
	}
	// Made in a private directory and moved: at no moment may others connect.
	private, err := os.MkdirTemp(filepath.Dir(path), "s")
	if err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	l, err := net.Listen("unix", made)
	if err != nil {
		return nil, fmt.Errorf("listen on a unix socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("put the socket at %s: %w", path, err)
	}
	return &Listener{Listener: l, address: path, path: path}, nil
}

// ListenTCP listens on a loopback address. Requests must bear the token in
// the file, which is made (0600) if it is not there. Errors: E_BAD_INPUT for
// any other address, E_PORT_TAKEN, E_DENIED if others may read the file.
func ListenTCP(address, tokenFile string) (*Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, volvox.Errorf(volvox.BadInput, "%q is not an address to listen on", address).From(err).WithTry("write 127.0.0.1:7070")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, volvox.Errorf(volvox.BadInput, "the API does not listen on %q", address).
			Because("it is not encrypted, so it listens on loopback addresses only").WithTry("write 127.0.0.1:7070")
	}
	token, err := readToken(tokenFile)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, volvox.Errorf(volvox.PortTaken, "the API cannot listen on %s", address).
			Because("another program listens there").WithTry("choose another port, or leave --listen out")
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, volvox.Errorf(volvox.Denied, "the API cannot listen on %s", address).From(err)
	}
	if err != nil {
		return nil, volvox.Errorf(volvox.BadInput, "the API cannot listen on %s", address).From(err).WithTry("write 127.0.0.1:7070")
	}
	return &Listener{Listener: l, address: "http://" + l.Addr().String(), token: token}, nil
}

func readToken(file string) (string, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeToken(file)
	}
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", volvox.Errorf(volvox.Denied, "the token in %s is not safe", file).
			Because("others may read it: its mode is %04o", info.Mode().Perm()).WithTry("chmod 600 %s", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 {
		return "", volvox.Errorf(volvox.BadFile, "the token in %s is not safe", file).
			Because("it has %d characters, and must have 16 or more", len(token)).WithTry("rm %s   # a new one is made", file)
	}
	return token, nil
}

func makeToken(file string) (string, error) {
	var b [32]byte
	rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("make the token: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write the token: %w", err)
	}
	return token, nil
}

// bearing lets only requests with the token through.
func (l *Listener) bearing(h http.Handler) http.Handler {
	want := []byte("Bearer " + l.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			writeError(w, volvox.Errorf(volvox.Denied, "this address takes requests with its token only").
				Because("the header Authorization is missing or wrong").WithTry("send 'Authorization: Bearer TOKEN'"))
			return
		}
		h.ServeHTTP(w, r.WithContext(volvox.WithActor(r.Context(), "user:token")))
	})
}

// stopGrace is how long requests that are being answered may take after the
// server was told to stop.
const stopGrace = 5 * time.Second

// Serve answers requests until ctx ends. Then streams end at once, other
// requests get a few seconds, and the listener is closed. It serves once.
func (l *Listener) Serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	if l.served.Swap(true) {
		return errors.New("a listener of the API serves once")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if l.token != "" {
		h = l.bearing(h)
	}
	base, abort := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), closingKey{}, ctx))
	defer abort()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l.Listener) }()
	defer l.Close()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	err := srv.Shutdown(grace)
	abort()
	if err != nil {
		err = srv.Close()
	}
	<-ended
	return err
}
