package cli

import "github.com/spf13/cobra"

// topics are texts that `volvox help TOPIC` prints.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit code of a command says.", Long: `    0  done
    1  failed
    2  the command line, a name or a file is wrong; nothing was done
    3  there is no such thing
    4  not allowed
    5  the state of things does not allow it: it exists, or is busy
    6  no room: memory, CPU or disk
    7  the command stopped waiting, by Ctrl-C or in time; the work goes on
  130  interrupted, and no work goes on

volvox db connect ends with the exit code of the client program.
An error names its code on stderr; volvox explain CODE says more about it.`},
		{Use: "output", Short: "What commands print, and where.", Long: `Data goes to stdout; progress, warnings and errors go to stderr.

  table   aligned columns, for people; the default
  wide    a table with all columns
  json    a list, or an object for a single thing; an empty list is []
  jsonl   one JSON object on each line
  yaml    the same as json, in YAML
  csv     one line of names, then one line for each row: a line break within
          a value is written \n
  name    one name on each line

In JSON names are as the columns of the tables in SQL, times are RFC 3339, and
amounts have their unit in the name: memory_bytes, cpu_millis.
An error is {"code", "message", "cause", "hints", "retryable"} with -o json.

When stdout is no terminal there is no colour, and nothing is cut off or asked.`},
		{Use: "time", Short: "How to write a moment.", Long: `  -10m -1h30m -2d -1w           a time ago: w, d, h, m, s and ms
  2026-01-31T12:00:00Z          RFC 3339
  2026-01-31T13:00:00.5+01:00   with a fraction and a zone

  volvox sql --as-of -10m "SELECT name, phase FROM instances"

In SQL a time is RFC 3339 text, which compares as times do. now() is the present,
now('-10m') ten minutes before it, and seconds(a, b) the time from a to b:

  volvox sql "SELECT message FROM events WHERE created_at > now('-10m')"
  volvox sql "SELECT name, seconds(started_at, ended_at) AS took FROM steps"

Tables print times as their age; --time iso prints RFC 3339.`},
		{Use: "flags", Short: "Flags of all commands, and the environment.", Long: `They stand before or after the command.

      --data DIR       the computer, by its data directory; default
                       $VOLVOX_DATA, else /var/lib/volvox
      --project NAME   whose things are meant; default main
  -o, --output FORMAT  see: volvox help output
      --time FORMAT    relative or iso
      --color WHEN     auto, always or never
      --no-color       the same as --color never

  VOLVOX_DATA          the data directory; --data wins over it
  NO_COLOR             no colour`},
	}
}
