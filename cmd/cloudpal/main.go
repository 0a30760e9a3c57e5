// Command cloudpal shares folders and fetches them, verified and versioned, with
// peers that speak Hypercore. See cloudpal --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/tradle/cloudpal/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
