package node

import (
	"net"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

// FuzzAddresses reads addresses as they are given on the command line.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"tcp://127.0.0.1:0", "tcp://[::1]:80", "udp://x:1", "tcp://", "tcp://a:b@c:1", "192.0.2.7:49737", "[::]:1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hostPort, err := parseAddress(s)
		if err == nil {
			if _, port, e := net.SplitHostPort(hostPort); e != nil || port == "" || "tcp://"+hostPort != s || strings.ContainsAny(hostPort, " /@") {
				t.Fatalf("%q is %q", s, hostPort)
			}
		} else if fault.KindOf(err) != fault.Usage || len(fault.HintsOf(err)) == 0 && !strings.Contains(err.Error(), "tcp://") {
			t.Fatal(err)
		}
		if a, err := parseListen(s); err == nil && s != "" && !a.IsValid() {
			t.Fatalf("%q is %v", s, a)
		}
	})
}
