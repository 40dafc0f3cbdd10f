package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/api"
)

// Answer is the answer to a question in SQL, being read.
type Answer struct {
	Columns []string
	client  *Client
	ctx     context.Context
	body    io.ReadCloser
	lines   *bufio.Reader
}

// Ask sends a statement and returns when the answer has begun. The caller
// closes it.
func (c *Client) Ask(ctx context.Context, q Question) (*Answer, error) {
	res, err := c.send(ctx, http.MethodPost, "/v1/sql", nil, q, nil)
	if err != nil {
		return nil, err
	}
	a := &Answer{client: c, ctx: ctx, body: res.Body, lines: bufio.NewReaderSize(res.Body, 64<<10)}
	line, err := a.line()
	if err == nil {
		var head api.SQLHeader
		err = json.Unmarshal(line, &head)
		a.Columns = head.Columns
	}
	if err != nil {
		a.Close()
		return nil, c.broken(ctx, err)
	}
	return a, nil
}

// Close ends the answer, read to its end or not.
func (a *Answer) Close() error { return a.body.Close() }

// Rows yields the rows, once. Numbers are json.Number, so that none loses a
// digit.
func (a *Answer) Rows() iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for {
			row, err := a.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// next returns a row, or io.EOF when the answer ended as it should.
func (a *Answer) next() (row []any, err error) {
	line, err := a.line()
	if err != nil { // also io.EOF: the last line is missing
		return nil, a.client.broken(a.ctx, noEOF(err))
	}
	if line[0] == '{' {
		var end api.SQLEnd
		if err := json.Unmarshal(line, &end); err != nil {
			return nil, a.client.broken(a.ctx, err)
		}
		if end.Error != nil {
			return nil, end.Error
		}
		return nil, io.EOF
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&row); err != nil {
		return nil, a.client.broken(a.ctx, err)
	}
	return row, nil
}

func (a *Answer) line() ([]byte, error) {
	line, err := a.lines.ReadBytes('\n')
	if err != nil || len(line) < 2 {
		return nil, noEOF(err)
	}
	return line, nil
}

// noEOF is err for where the end comes too early.
func noEOF(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return volvox.Errorf(volvox.Unavailable, "the answer ended early")
	}
	return err
}
