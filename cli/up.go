package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/volvox-os/volvox"
	"github.com/volvox-os/volvox/client"
)

func (a *app) upCommand() *cobra.Command {
	var o UpOptions
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Make this machine a computer, and stay in the foreground.",
		GroupID: groupComputer,
		Example: "  volvox up\n  volvox up --data /srv/volvox --network 100.70.0.0/16",
		Long: `SIGTERM ends it and leaves instances running; up takes them over again.
Ctrl-C and 'volvox down' also stop the instances. Data stays.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Up == nil {
				return errors.New("up is not built into this program")
			}
			o.Data, o.Talk = a.data, a.Err
			o.Ready = a.ready
			return a.Up(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Network, "network", "", "`range` of addresses for instances, a /16 inside 100.64.0.0/10 (default one that is free)")
	f.StringVar(&o.Listen, "listen", "", "also serve the API on this loopback `address`, with the token in DATA/token")
	f.StringVar(&o.Name, "name", "", "`name` of this machine (default its host name)")
	return cmd
}

// ready says that the computer is up, and one thing to do next.
func (a *app) ready(s client.Status) {
	paint := a.painter(a.ErrTTY)
	fmt.Fprintf(a.Err, "%s %s on %s, version %s\n", paint(green, "✓ ready:"), s.Machine, s.Data, s.Version)
	fmt.Fprintf(a.Err, "  API      %s\n", s.API)
	if s.Listen != "" {
		fmt.Fprintf(a.Err, "  listens  %s\n", s.Listen)
	}
	fmt.Fprintf(a.Err, "  network  %s\n", s.Network)
	if a.ErrTTY {
		fmt.Fprintf(a.Err, "next: %s\n", a.exact("volvox db create shop --engine postgresql"))
	}
}

func (a *app) downCommand() *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Stop the computer and its instances; their data stays.",
		GroupID: groupComputer,
		Example: "  volvox down\n  volvox down --purge --yes",
		Long:    "It returns when 'volvox up' has ended. Without a computer that is up it stops\nwhat one has left running.",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if purge && !yes {
				if err := a.confirm(cmd, "This removes the computer on "+a.data+" with all its databases.", filepath.Base(a.data)); err != nil {
					return err
				}
			}
			return a.down(cmd.Context(), purge)
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove all that the computer made, its data included")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) down(ctx context.Context, purge bool) error {
	layout, err := volvox.LayoutOf(a.data)
	if err != nil {
		return err
	}
	return a.with(func(c *client.Client) error {
		running, err := a.shutdown(ctx, c, layout, client.Shutdown{StopInstances: true, Purge: purge})
		if err != nil {
			return err
		}
		if !running {
			return a.downAlone(ctx, layout, purge)
		}
		if err := waitLock(ctx, layout); err != nil {
			return volvox.Errorf(volvox.StillRunning, "the computer is still stopping").WithTry("volvox status")
		}
		a.saidDown(layout, purge)
		return nil
	})
}

// shutdown tells the computer to stop. One that is only just starting, or
// stopping already, holds its lock and does not answer: it is waited for.
// False means that none is up.
func (a *app) shutdown(ctx context.Context, c *client.Client, layout volvox.Layout, s client.Shutdown) (bool, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := definite(ctx, func(ctx context.Context) (client.Status, error) { return c.Shutdown(ctx, s) })
		if code := volvox.CodeOf(err); err == nil || code != volvox.NotUp && code != volvox.Unavailable {
			return true, err
		}
		free, lockErr := lockFree(layout)
		if lockErr != nil || free {
			return false, lockErr
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *app) downAlone(ctx context.Context, layout volvox.Layout, purge bool) error {
	if !layout.Made() {
		fmt.Fprintf(a.Err, "there is no computer on %s\n", layout.Data)
		return nil
	}
	if a.Down == nil {
		return errors.New("down is not built into this program")
	}
	if err := a.Down(ctx, DownOptions{Data: layout.Data, Purge: purge, Talk: a.Err}); err != nil {
		return err
	}
	a.saidDown(layout, purge)
	return nil
}

func (a *app) saidDown(layout volvox.Layout, purge bool) {
	if purge {
		fmt.Fprintf(a.Err, "the computer on %s is gone, with all it made\n", layout.Data)
		return
	}
	fmt.Fprintf(a.Err, "the computer is down; its data is in %s\n", layout.Data)
}

// lockFree says whether no `volvox up` runs on the directory. One whose
// directory was removed under it still has its socket.
func lockFree(layout volvox.Layout) (bool, error) {
	f, err := os.Open(layout.Lock())
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		c, err := net.Dial("unix", layout.APISocket())
		if err == nil {
			c.Close()
		}
		return err != nil, nil
	case errors.Is(err, fs.ErrPermission):
		return false, volvox.Errorf(volvox.Denied, "you may not use the computer on %s", layout.Data).
			Because("its lock belongs to another user").WithTry("run the same command with sudo")
	case err != nil:
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return err == nil, nil
}

// waitLock waits until `volvox up` has ended.
func waitLock(ctx context.Context, layout volvox.Layout) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if free, err := lockFree(layout); err != nil || free {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// confirm asks to type a name before data is lost. Without a person to ask it
// is a usage error.
func (a *app) confirm(cmd *cobra.Command, warning, name string) error {
	if !a.InTTY {
		again := cmd.CommandPath() + " " + strings.Join(cmd.Flags().Args(), " ")
		if cmd.Flags().Changed("purge") {
			again += "--purge"
		}
		return volvox.Errorf(volvox.BadInput, "%s needs --yes", cmd.CommandPath()).
			Because("it loses data, and there is no terminal to ask on").WithTry("%s --yes", again)
	}
	fmt.Fprintf(a.Err, "%s\nType %s to go on: ", warning, a.painter(a.ErrTTY)(bold, name))
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.In).ReadString('\n')
		typed <- strings.TrimSpace(line)
	}()
	select {
	case <-cmd.Context().Done():
		fmt.Fprintln(a.Err)
		return cmd.Context().Err()
	case line := <-typed:
		if line == name {
			return nil
		}
		return volvox.Errorf(volvox.Cancelled, "nothing was done").Because("%q is not %q", line, name)
	}
}
