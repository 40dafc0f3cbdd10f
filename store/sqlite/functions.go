package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/volvox-os/volvox"
	"zombiezen.com/go/sqlite"
)

// A person's statement is stopped where it begins anew for another row, never
// within the call of a function or between two columns. So no single call may
// take long: what SQLite computes in a time that grows with the product of two
// lengths is computed here in another way, or bounded. And no single row may
// take all memory.
const (
	maxValue     = 4 << 20 // bytes of one value
	maxPattern   = 200     // bytes of a pattern of LIKE and GLOB
	maxCut       = 100     // bytes of the characters that trim takes away
	maxArguments = 50
	maxColumns   = 200
	maxText      = 64 << 10 // bytes of the statement
)

// bounded gives a connection those functions.
func (c *conn) bounded() error {
	c.Limit(sqlite.LimitLength, maxValue)
	c.Limit(sqlite.LimitLikePatternLength, maxPattern)
	c.Limit(sqlite.LimitFunctionArg, maxArguments)
	c.Limit(sqlite.LimitColumn, maxColumns)
	c.Limit(sqlite.LimitSQLLength, maxText)
	err := errors.Join(c.text("instr", 2, instr), c.text("replace", 3, replace),
		c.text("unhex", 2, func([]sqlite.Value) (sqlite.Value, error) {
			return sqlite.Value{}, errors.New("unhex takes one argument here")
		}))
	for name, cut := range map[string]func(s, set string) string{"trim": strings.Trim, "ltrim": strings.TrimLeft, "rtrim": strings.TrimRight} {
		err = errors.Join(err, c.text(name, 2, func(args []sqlite.Value) (sqlite.Value, error) {
			set := args[1].Text()
			if len(set) > maxCut {
				return sqlite.Value{}, fmt.Errorf("%s takes away at most %d bytes of characters here", name, maxCut)
			}
			return sqlite.TextValue(cut(args[0].Text(), set)), nil
		}))
	}
	return err
}

// text makes a function that is NULL where an argument is.
func (c *conn) text(name string, n int, f func([]sqlite.Value) (sqlite.Value, error)) error {
	return c.CreateFunction(name, &sqlite.FunctionImpl{NArgs: n, Deterministic: true, AllowIndirect: true,
		Scalar: func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			for _, a := range args {
				if a.Type() == sqlite.TypeNull {
					return sqlite.Value{}, nil
				}
			}
			v, err := f(args)
			if err != nil {
				// The library takes an error of a function for its result; a
				// value that is too long ends the statement.
				c.objection = volvox.Errorf(volvox.BadSQL, "%v", err)
				return sqlite.TextValue(strings.Repeat(" ", maxValue+1)), nil
			}
			return v, nil
		}})
}

func instr(args []sqlite.Value) (sqlite.Value, error) {
	if args[0].Type() == sqlite.TypeBlob && args[1].Type() == sqlite.TypeBlob {
		return sqlite.IntegerValue(int64(bytes.Index(args[0].Blob(), args[1].Blob()) + 1)), nil
	}
	in := args[0].Text()
	i := strings.Index(in, args[1].Text())
	if i < 0 {
		return sqlite.IntegerValue(0), nil
	}
	return sqlite.IntegerValue(int64(utf8.RuneCountInString(in[:i]) + 1)), nil
}

func replace(args []sqlite.Value) (sqlite.Value, error) {
	in, old, with := args[0].Text(), args[1].Text(), args[2].Text()
	if old == "" {
		return sqlite.TextValue(in), nil
	}
	if len(in)+strings.Count(in, old)*(len(with)-len(old)) > maxValue {
		return sqlite.Value{}, errors.New("string or blob too big")
	}
	return sqlite.TextValue(strings.ReplaceAll(in, old, with)), nil
}
