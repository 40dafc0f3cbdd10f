// Package cli is the door of the computer for people: the commands of
// `volvox`. It is a client of the API and nothing else; what needs no
// computer (up, and down and doctor without one) comes in as [Hooks].
//
// It promises: data on stdout and talk on stderr; no question, colour or
// spinner without a terminal; errors as what, cause and what to try, with a
// stable code; and one exit code for each kind of error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

// Streams are what a command reads and writes.
type Streams struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	InTTY  bool // a person can answer a question
	OutTTY bool
	ErrTTY bool
	Getenv func(string) string // nil: the process's own
}

// Std returns the streams of this process.
func Std() Streams {
	tty := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, InTTY: tty(os.Stdin), OutTTY: tty(os.Stdout), ErrTTY: tty(os.Stderr)}
}

// Hooks is what commands do without a computer that is up.
type Hooks struct {
	// Up makes this machine a computer and stays until ctx ends, or the
	// computer is told to shut down.
	Up func(ctx context.Context, o UpOptions) error
	// Down stops what a computer that is not up has left running and, with
	// Purge, removes all it made.
	Down func(ctx context.Context, o DownOptions) error
	// Doctor looks at this machine for what could be in the way.
	Doctor func(ctx context.Context, data string) ([]client.Check, error)
	// Address says where the API of the computer on a data directory is; nil
	// is the socket of [volvox.Layout].
	Address func(data string) (string, error)
}

// UpOptions are the flags of `volvox up`.
type UpOptions struct {
	Data    string
	Network string // a range such as 100.70.0.0/16; empty: one is chosen
	Listen  string // a loopback address for the API over TCP; empty: none
	Name    string // of this machine; empty: its host name
	Talk    io.Writer
	// Ready is called once, when all parts are ready.
	Ready func(client.Status)
}

// DownOptions are the flags of `volvox down`.
type DownOptions struct {
	Data  string
	Purge bool
	Talk  io.Writer
}

// app is one run of the program.
type app struct {
	Streams
	Hooks
	args    []string
	root    *cobra.Command
	data    string
	output  string
	project string
	color   string
	noColor bool
	times   string
	formats []string // what -o may be for the command that runs
}

// Run runs one command line, without the program's name, and returns its exit
// code. When ctx ends the command is interrupted.
func Run(ctx context.Context, args []string, s Streams, h Hooks) int {
	if s.Getenv == nil {
		s.Getenv = os.Getenv
	}
	a := &app{Streams: s, Hooks: h, args: args}
	a.root = a.command()
	a.root.SetArgs(args)
	a.root.SetIn(s.In)
	a.root.SetOut(s.Out)
	a.root.SetErr(s.Err)
	err := a.root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = volvox.Errorf(volvox.Cancelled, "interrupted")
	}
	return a.end(err)
}

// command makes the tree of all commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "volvox",
		Short:         "One computer of many machines; its kernel is a SQL database.",
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(a.printHelp)
	root.SetFlagErrorFunc(badFlag)
	a.globalFlags(root)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkGlobals(cmd) }
	root.AddGroup(&cobra.Group{ID: groupComputer, Title: "The computer"}, &cobra.Group{ID: groupDatabases, Title: "Databases"},
		&cobra.Group{ID: groupInside, Title: "Look inside"}, &cobra.Group{ID: groupHelp, Title: "Help"})
	help := a.helpCommand()
	add(root, a.upCommand(), a.downCommand(), a.statusCommand(), a.doctorCommand(),
		a.dbCommand(), a.applyCommand(), a.psCommand(), a.logsCommand(), a.sqlCommand(), a.workflowCommand(),
		a.explainCommand(), help, a.completionCommand(), a.versionCommand())
	root.SetHelpCommand(help)
	root.AddCommand(topics()...)
	return root
}

const orderKey = "order"

// add puts commands below another one, in the order in which help lists them.
func add(parent *cobra.Command, commands ...*cobra.Command) {
	for i, c := range commands {
		if c.Annotations == nil {
			c.Annotations = map[string]string{}
		}
		c.Annotations[orderKey] = fmt.Sprintf("%03d", i)
	}
	parent.AddCommand(commands...)
}

// The groups of commands, by what people want to do.
const (
	groupComputer  = "computer"
	groupDatabases = "databases"
	groupInside    = "inside"
	groupHelp      = "help"
)

// address is where the API of the chosen computer is.
func (a *app) address() (string, error) {
	if a.Address != nil {
		return a.Address(a.data)
	}
	layout, err := volvox.LayoutOf(a.data)
	return layout.APISocket(), err
}

// client returns a client of the chosen computer.
func (a *app) client() (*client.Client, error) {
	address, err := a.address()
	if err != nil {
		return nil, err
	}
	return client.New(address, client.Options{Project: a.project, Data: a.data}), nil
}

// with runs f with a client that is closed behind it.
func (a *app) with(f func(c *client.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}
