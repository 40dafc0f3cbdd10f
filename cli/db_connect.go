package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func (a *app) dbConnect() *cobra.Command {
	var printURL, reveal bool
	cmd := prints(&cobra.Command{
		Use:   "connect NAME [flags] [-- ARGUMENTS]",
		Short: "Open the client program of a database.",
		Example: `  volvox db connect shop
  volvox db connect shop -- --command "SELECT 1"
  volvox db connect shop --print-url --reveal`,
		Long: `The password goes to the program in its environment. Arguments after -- are
the program's own. The exit code is the program's.`,
		Args: func(cmd *cobra.Command, args []string) error {
			n := cmd.ArgsLenAtDash()
			if n < 0 {
				n = len(args)
			}
			return takes("NAME")(cmd, args[:n])
		},
		ValidArgsFunction: a.completeDatabases,
		RunE: func(cmd *cobra.Command, args []string) error {
			if reveal && !printURL && a.output == "table" {
				return usage(cmd, "--reveal is for --print-url")
			}
			return a.with(func(c *client.Client) error {
				asks := printURL || a.output != "table"
				ask := func() (client.Connection, error) { return c.Connection(cmd.Context(), args[0], reveal) }
				if !asks {
					ask = func() (client.Connection, error) { return c.Session(cmd.Context(), args[0]) }
				}
				conn, err := ask()
				switch {
				case err != nil:
					return err
				case printURL && a.output == "table":
					fmt.Fprintln(a.Out, conn.URL)
					return nil
				case asks:
					return showOne(a, conn, nil)
				}
				return a.runProgram(args[0], conn, args[1:])
			})
		},
	}, oneFormats...)
	cmd.DisableFlagsInUseLine = true
	cmd.Flags().BoolVar(&printURL, "print-url", false, "print a URL for other programs, and nothing else")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "with the password in it; this is recorded")
	return cmd
}

// runProgram runs a database's client program in the foreground. The program
// has the terminal: Ctrl-C is its own, and a signal to end is passed on.
func (a *app) runProgram(name string, conn client.Connection, args []string) error {
	if len(conn.Command) == 0 {
		return volvox.Errorf(volvox.Unsupported, "the engine of %s names no client program", name).
			WithTry("volvox db connect %s --print-url --reveal", name)
	}
	path, err := exec.LookPath(conn.Command[0])
	if err != nil {
		return missingProgram(name, conn)
	}
	cmd := exec.Command(path, append(conn.Command[1:], args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	cmd.Env = os.Environ()
	for k, v := range conn.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	runtime.LockOSThread() // the death signal is that of the thread that starts the program
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			cmd.Process.Signal(s)
		case err := <-ended:
			return programEnd(err)
		}
	}
}

func programEnd(err error) error {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err
	}
	if s, ok := ended.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return exit(128 + int(s.Signal()))
	}
	return exit(ended.ExitCode())
}

// missingProgram says what to install.
func missingProgram(name string, conn client.Connection) error {
	program := conn.Command[0]
	e := volvox.Errorf(volvox.MissingProgram, "the client program %s is not installed", program)
	if conn.Package != "" {
		e = e.WithTry("sudo apt-get install %s", conn.Package)
	} else {
		e = e.WithTry("install the package that has %s", program)
	}
	return e.WithTry("volvox db connect %s --print-url --reveal", name)
}
