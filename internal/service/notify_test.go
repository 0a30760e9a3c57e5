package service

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager that says what it is told.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func told(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestTheServiceManagerIsTold(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "s"), "\x00cloudpal-test-" + strconv.Itoa(os.Getpid())} {
		c := manager(t, name)
		t.Setenv("NOTIFY_SOCKET", strings.Replace(name, "\x00", "@", 1))
		t.Setenv("WATCHDOG_USEC", "20000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		n := NewNotifier()
		if os.Getenv("NOTIFY_SOCKET") != "" {
			t.Error("other programs may speak for this one")
		}
		if err := n.Ready(); err != nil || told(t, c) != "READY=1" {
			t.Error(err)
		}
		sick, asked := errors.New("sick"), 0
		err := n.Watch(t.Context(), func(context.Context) error {
			if asked++; asked > 3 {
				return sick
			}
			return nil
		})
		if !errors.Is(err, sick) {
			t.Error(err)
		}
		for range 3 {
			if s := told(t, c); s != "WATCHDOG=1" {
				t.Errorf("told %q", s)
			}
		}
		if err := n.Stopping(); err != nil || told(t, c) != "STOPPING=1" {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := n.Watch(ctx, func(context.Context) error { cancel(); return nil }); err != nil {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestWithoutAServiceManagerNothingIsTold(t *testing.T) {
	for _, pid := range []string{"", "1"} {
		t.Setenv("NOTIFY_SOCKET", "")
		t.Setenv("WATCHDOG_USEC", "1000")
		t.Setenv("WATCHDOG_PID", pid)
		n := NewNotifier()
		if err := errors.Join(n.Ready(), n.Stopping(), n.Watch(t.Context(), func(context.Context) error { return errors.New("asked") })); err != nil {
			t.Error(err)
		}
	}
	n := &Notifier{socket: filepath.Join(t.TempDir(), "gone")}
	if err := n.Ready(); err == nil {
		t.Error("nobody was told, and that is no error")
	}
}
