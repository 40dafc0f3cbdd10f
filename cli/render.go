package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// column is a column of a list of T.
type column[T any] struct {
	name string // in JSON's way; a table prints it in capitals
	wide bool   // only in -o wide and csv
	cell func(T) cell
}

// show prints a list in the format asked for. Without rows a table and csv
// have their header only, and the others are empty: [] in JSON.
func show[T any](a *app, rows []T, columns []column[T]) error {
	if rows == nil {
		rows = []T{}
	}
	switch a.output {
	case "json":
		return writeJSON(a.Out, rows)
	case "jsonl":
		for _, r := range rows {
			b, err := json.Marshal(r)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s\n", b)
		}
		return nil
	case "yaml":
		return writeYAML(a.Out, rows)
	case "name":
		for _, r := range rows {
			fmt.Fprintln(a.Out, columns[0].cell(r).text)
		}
		return nil
	}
	var header []string
	cells := make([][]cell, len(rows))
	for _, c := range columns {
		if c.wide && a.output == "table" {
			continue
		}
		header = append(header, c.name)
		for i, r := range rows {
			cells[i] = append(cells[i], c.cell(r))
		}
	}
	if a.output == "csv" {
		return writeCSV(a.Out, header, cells)
	}
	for i, h := range header {
		header[i] = strings.ReplaceAll(h, "_", " ")
	}
	return writeTable(a.Out, a.painter(a.OutTTY), header, cells)
}

// field is a line about a single thing.
type field struct {
	name string
	cell cell
}

// showOne prints a single thing: its fields one below the other, or v.
func showOne(a *app, v any, fields []field) error {
	switch a.output {
	case "json":
		return writeJSON(a.Out, v)
	case "jsonl":
		b, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(a.Out, "%s\n", b)
		}
		return err
	case "yaml":
		return writeYAML(a.Out, v)
	}
	width := 0
	for _, f := range fields {
		width = max(width, len(f.name))
	}
	paint := a.painter(a.OutTTY)
	for _, f := range fields {
		if f.cell.text == "" {
			continue
		}
		fmt.Fprintf(a.Out, "%s%s  %s\n", paint(dim, f.name), strings.Repeat(" ", width-len(f.name)), paint(f.cell.color, oneLine(f.cell.text)))
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func writeYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = yaml.JSONToYAML(b)
	}
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// writeCSV prints one line of names and then one line for each row.
func writeCSV(w io.Writer, header []string, rows [][]cell) error {
	out := csv.NewWriter(w)
	out.Write(header)
	for _, r := range rows {
		record := make([]string, len(r))
		for i, c := range r {
			record[i] = csvText(c.text)
		}
		out.Write(record)
	}
	out.Flush()
	return out.Error()
}

// csvText writes line breaks out, so that a row stays one line.
func csvText(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
}

// when prints a moment as --time says.
func (a *app) when(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case a.times == "iso" || a.output == "csv":
		return t.UTC().Format(time.RFC3339)
	}
	return age(time.Since(t))
}

// ago is when, in a sentence: "5m ago".
func (a *app) ago(t time.Time) string {
	text := a.when(t)
	if text != "" && a.times != "iso" {
		text += " ago"
	}
	return text
}

// age is a duration in one or two units: 12s, 5m, 3h20m, 4d.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 10*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// took is how long something took: 0.1s, 12.3s, 2m5s.
func took(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", max(d, 0).Seconds())
	}
	return d.Round(time.Second).String()
}
