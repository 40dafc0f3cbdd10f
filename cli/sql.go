package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// maxStatement bounds a statement read from stdin.
const maxStatement = 1 << 20

func (a *app) sqlCommand() *cobra.Command {
	var asOf string
	var tables bool
	cmd := prints(&cobra.Command{
		Use:     "sql [STATEMENT]",
		Short:   "Ask the computer in SQL, about now or about the past.",
		GroupID: groupInside,
		Example: `  volvox sql "SELECT name, role, ready FROM instances"
  volvox sql --as-of -10m "SELECT name, phase FROM clusters"
  volvox sql --output csv "SELECT * FROM events" > events.csv
  volvox sql --tables
  volvox sql --tables instances`,
		Long: "Without a statement it is read from stdin. Times in rows are RFC 3339.",
		Args: takes("[STATEMENT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tables {
				return a.with(func(c *client.Client) error { return a.showTables(cmd, c, args) })
			}
			statement, err := a.statement(cmd, args)
			if err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				answer, err := c.Ask(cmd.Context(), client.Question{SQL: statement, AsOf: asOf})
				if err != nil {
					return err
				}
				defer answer.Close()
				return a.showAnswer(answer)
			})
		},
	}, "table", "json", "jsonl", "csv")
	cmd.Flags().StringVar(&asOf, "as-of", "", "`moment` to ask about: a time ago such as -10m, or RFC 3339")
	cmd.Flags().BoolVar(&tables, "tables", false, "list the tables, or the columns of one, and what they mean")
	return cmd
}

// statement is the argument, or what stdin has.
func (a *app) statement(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	if a.InTTY && len(args) == 0 {
		return "", usage(cmd, "volvox sql needs a statement").WithTry(`volvox sql "SELECT name, phase FROM instances"`)
	}
	b, err := io.ReadAll(io.LimitReader(a.In, maxStatement+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the statement: %w", err)
	case len(b) > maxStatement:
		return "", usage(cmd, "the statement on stdin is longer than %s", volvox.FormatBytes(maxStatement))
	case len(bytes.TrimSpace(b)) == 0:
		return "", usage(cmd, "volvox sql needs a statement").Because("stdin is empty").WithTry(`volvox sql "SELECT name, phase FROM instances"`)
	}
	return string(b), nil
}

// showTables lists what can be asked about.
func (a *app) showTables(cmd *cobra.Command, c *client.Client, args []string) error {
	all, err := c.Tables(cmd.Context())
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return show(a, all, []column[client.Table]{
			{"table", false, func(t client.Table) cell { return text(t.Name) }},
			{"owner", false, func(t client.Table) cell { return text(t.Owner) }},
			{"meaning", false, func(t client.Table) cell { return text(t.Doc) }},
		})
	}
	var known []string
	for _, t := range all {
		if t.Name == args[0] {
			return show(a, t.Columns, []column[client.Column]{
				{"column", false, func(c client.Column) cell { return text(c.Name) }},
				{"type", false, func(c client.Column) cell { return text(c.Type) }},
				{"meaning", false, func(c client.Column) cell { return text(c.Doc) }},
			})
		}
		known = append(known, t.Name)
	}
	return meant(volvox.Errorf(volvox.NotFound, "there is no table %q", args[0]), args[0], known, "volvox sql --tables").WithTry("volvox sql --tables")
}

// showAnswer prints rows as they come, or a table when they are all there.
func (a *app) showAnswer(answer *client.Answer) error {
	out := bufio.NewWriter(a.Out)
	var err error
	switch a.output {
	case "csv":
		err = answerCSV(out, answer)
	case "json":
		err = answerObjects(out, answer, "[\n", ",\n", "\n]\n", "[]\n")
	case "jsonl":
		err = answerObjects(out, answer, "", "\n", "\n", "")
	default:
		var rows [][]cell
		for row, e := range answer.Rows() {
			if err = e; e != nil {
				break
			}
			cells := make([]cell, len(row))
			for i, v := range row {
				cells[i] = text(valueText(v))
			}
			rows = append(rows, cells)
		}
		if err == nil || len(rows) > 0 {
			err = errors.Join(err, writeTable(out, a.painter(a.OutTTY), answer.Columns, rows))
		}
	}
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

func answerCSV(out io.Writer, answer *client.Answer) error {
	w := csv.NewWriter(out)
	w.Write(answer.Columns)
	for row, err := range answer.Rows() {
		if err != nil {
			w.Flush()
			return err
		}
		record := make([]string, len(row))
		for i, v := range row {
			record[i] = csvText(valueText(v))
		}
		if len(record) == 1 && record[0] == "" {
			w.Flush()
			io.WriteString(out, "\"\"\n") // an empty line would be no row
			continue
		}
		w.Write(record)
	}
	w.Flush()
	return w.Error()
}

// answerObjects prints rows as JSON objects, with what stands before the
// first, between them, behind the last, and instead of none.
func answerObjects(out io.Writer, answer *client.Answer, before, between, behind, none string) error {
	keys := make([][]byte, len(answer.Columns))
	for i, name := range distinct(answer.Columns) {
		keys[i], _ = json.Marshal(name)
	}
	count := 0
	for row, err := range answer.Rows() {
		if err != nil {
			return err
		}
		var b bytes.Buffer
		b.WriteString(map[bool]string{true: before, false: between}[count == 0])
		b.WriteByte('{')
		for i, v := range row {
			if i > 0 {
				b.WriteString(", ")
			}
			value, err := json.Marshal(v)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s: %s", keys[i], value)
		}
		b.WriteByte('}')
		if _, err := out.Write(b.Bytes()); err != nil {
			return err
		}
		count++
	}
	if count == 0 {
		behind = none
	}
	_, err := io.WriteString(out, behind)
	return err
}

// distinct gives columns of the same name a number, so that none is lost in
// an object.
func distinct(columns []string) []string {
	out := make([]string, len(columns))
	seen := map[string]bool{}
	for i, name := range columns {
		out[i] = name
		for n := 2; seen[out[i]]; n++ {
			out[i] = fmt.Sprintf("%s_%d", name, n)
		}
		seen[out[i]] = true
	}
	return out
}

// valueText is a value in a table or in csv; nothing is empty.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	default:
		b, _ := json.Marshal(v)
		return strings.TrimSpace(string(b))
	}
}
