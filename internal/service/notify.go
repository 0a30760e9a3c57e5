package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier tells the service manager about this process, as sd_notify(3) says. Without
// one nothing is told.
type Notifier struct {
	socket   string        // empty: nobody listens
	watchdog time.Duration // 0: nobody waits
}

// NewNotifier returns the one that the environment names, and takes it out of the
// environment, so that other programs that are started do not speak for this one.
func NewNotifier() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseUint(os.Getenv("WATCHDOG_USEC"), 10, 48); err == nil {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		os.Unsetenv(name)
	}
	return n
}

// Ready says that the service works.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Stopping says that the service is about to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Watch says that the service is alive, twice as often as the service manager wants
// it, for as long as healthy says so and ctx lasts. It returns nil when ctx ends or
// nobody wants to know, and otherwise why the service is not healthy.
func (n *Notifier) Watch(ctx context.Context, healthy func(context.Context) error) error {
	if n.socket == "" || n.watchdog <= 0 {
		return nil
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		check, cancel := context.WithTimeout(ctx, n.watchdog/2)
		err := healthy(check)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the service is not healthy: %w", err)
		}
		if err := n.send("WATCHDOG=1"); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	name := n.socket
	if rest, ok := strings.CutPrefix(name, "@"); ok {
		name = "\x00" + rest // in the abstract namespace
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach the service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
