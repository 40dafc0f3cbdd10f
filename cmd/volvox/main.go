// Command volvox makes a Linux machine a computer whose kernel is a SQL
// database, and is the shell of that computer.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/volvox-os/volvox/cli"
	"github.com/volvox-os/volvox/system"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, os.Args[1:], cli.Std(), cli.Hooks{
		Up: func(ctx context.Context, o cli.UpOptions) error {
			stop() // up tells the two signals apart by itself
			return system.Up(context.WithoutCancel(ctx), system.Options{
				Data: o.Data, Network: o.Network, Listen: o.Listen, Name: o.Name, Log: logger(o.Talk, slog.LevelInfo),
			}, o.Ready)
		},
		Down: func(ctx context.Context, o cli.DownOptions) error {
			return system.Down(ctx, o.Data, o.Purge, logger(o.Talk, slog.LevelError))
		},
		Doctor: system.Doctor,
	})
}

// logger writes what the computer has to say as text, a line each, from a
// level on.
func logger(w io.Writer, level slog.Level) *slog.Logger {
	if os.Getenv("VOLVOX_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
