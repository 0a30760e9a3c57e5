package cli

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// systemd is told that the node is ready, again and again that it is alive, and that
// it stops.
func TestUpTellsTheServiceManager(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	told := func(want string) {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patient)); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 100); ; {
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			if s := string(b[:n]); s == want {
				return
			} else if s != "WATCHDOG=1" {
				t.Errorf("told %q before %s", s, want)
			}
		}
	}
	p, err := startProcess(append(homeEnv(t.TempDir()), "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=200000"), ".", "up", "--no-dht", "--no-lan")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	told("READY=1")
	told("WATCHDOG=1")
	told("WATCHDOG=1")
	if code, err := p.end(syscall.SIGTERM); code != 0 || err != nil {
		t.Errorf("it ends with %d, %v: %s", code, err, &p.stderr)
	}
	told("STOPPING=1")
}
