package cli

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/volvox-os/volvox"
)

// cell is a text in a table and what its colour should mean.
type cell struct {
	text  string
	color color
	sign  string // before the text, in tables: so that colour is never alone
}

func text(s string) cell { return cell{text: s} }

// phaseCell colours a phase.
func phaseCell(p volvox.Phase) cell {
	switch p {
	case volvox.Running:
		return cell{text: string(p), color: green}
	case volvox.Failed:
		return cell{text: string(p), color: red}
	case volvox.Stopped, volvox.Deleted:
		return cell{text: string(p), color: dim}
	default:
		return cell{text: string(p), color: yellow}
	}
}

// writeTable prints rows under a header, aligned, without borders and without
// cutting anything.
func writeTable(w io.Writer, paint func(color, string) string, header []string, rows [][]cell) error {
	width := make([]int, len(header))
	for i, h := range header {
		width[i] = utf8.RuneCountInString(h)
	}
	for _, r := range rows {
		for i := range r {
			r[i].text = oneLine(r[i].text)
			if r[i].sign != "" {
				r[i].text, r[i].sign = r[i].sign+" "+r[i].text, ""
			}
			width[i] = max(width[i], utf8.RuneCountInString(r[i].text))
		}
	}
	out := bufio.NewWriter(w)
	line := func(cells []cell) {
		var b strings.Builder
		gap := 0
		for i, c := range cells {
			if c.text == "" {
				gap += width[i] + 2
				continue
			}
			b.WriteString(strings.Repeat(" ", gap))
			b.WriteString(paint(c.color, c.text))
			gap = width[i] - utf8.RuneCountInString(c.text) + 2
		}
		b.WriteByte('\n')
		out.WriteString(b.String())
	}
	head := make([]cell, len(header))
	for i, h := range header {
		head[i] = cell{text: strings.ToUpper(h), color: bold}
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
	return out.Flush()
}

// oneLine is a text with its line breaks and other control characters written
// out, so that it stays on one line and cannot steer a terminal.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case isControl(r):
			b.WriteString("�")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
