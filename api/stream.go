package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// writeTimeout ends a stream whose reader takes nothing for so long.
const writeTimeout = 30 * time.Second

// keepAlive is how often a quiet stream of events says that it lives, so that
// a vanished reader is noticed.
const keepAlive = 15 * time.Second

// output is a response that is written bit by bit. It may be used by several
// goroutines.
type output struct {
	w           http.ResponseWriter
	control     *http.ResponseController
	contentType string

	mu    sync.Mutex
	begun bool
}

// Write sends b at once.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.write(b)
	if err == nil {
		err = o.control.Flush()
	}
	return n, err
}

func (o *output) write(b []byte) (int, error) {
	if !o.begun {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", o.contentType)
		h.Set("Cache-Control", "no-store")
		o.w.WriteHeader(http.StatusOK)
	}
	o.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return o.w.Write(b)
}

// begin sends the header, so that the reader knows that it is heard.
func (o *output) begin() error {
	_, err := o.Write(nil)
	return err
}

// line sends v as one line of JSON, at the latest when flush is called.
func (o *output) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err = o.write(append(b, '\n'))
	return err
}

func (o *output) flush() error {
	_, err := o.Write(nil)
	return err
}

// event sends one event of a stream of server-sent events. An id of 0 is
// left out: the reader then resumes at the last one it got.
func (o *output) event(id int64, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text := ""
	if id != 0 {
		text = fmt.Sprintf("id: %d\n", id)
	}
	_, err = fmt.Fprintf(o, "%sevent: %s\ndata: %s\n\n", text, name, b)
	return err
}

// living sends comments until ctx ends, and calls stop when one cannot be
// sent. It returns a function that waits for its end.
func (o *output) living(ctx context.Context, stop func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(keepAlive)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := o.Write([]byte(": alive\n\n")); err != nil {
					stop()
					return
				}
			}
		}
	}()
	return func() { <-done }
}

type closingKey struct{}

// untilClosing returns a context that also ends when the server that carries
// the request begins to stop.
func untilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	closing, ok := ctx.Value(closingKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	unhook := context.AfterFunc(closing, cancel)
	return ctx, func() { unhook(); cancel() }
}
