package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/api"
)

// One peer that is connected by several of its addresses, one after the other,
// is told once; a change of the way and a loss are told.
func TestAPeerIsToldOnce(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out}
	for _, v := range []api.Peer{
		{State: "connected", Address: "tcp://192.168.1.7:1", Key: "k", Path: "lan"},
		{State: "connected", Address: "tcp://[fe80::1]:1", Key: "k", Path: "lan"},
		{State: "connected", Address: "udp://1.2.3.4:1", Key: "k", Path: "punched"},
		{State: "retrying", Address: "tcp://192.168.1.7:1", Error: "refused"},
		{State: "retrying", Address: "tcp://192.168.1.7:1", Error: "refused"},
		{State: "connected", Address: "tcp://192.168.1.7:1", Key: "k", Path: "lan"},
	} {
		showPeer(p, &v)
	}
	if got := strings.Count(out.String(), "\n"); got != 4 || strings.Contains(out.String(), "fe80") {
		t.Errorf("told:\n%s", out.String())
	}
}

func TestAnInterruptIsTold(t *testing.T) {
	var out strings.Builder
	g := globals{stderr: &out}
	if exit := g.report(context.Canceled); exit != 130 || !strings.HasPrefix(out.String(), "cloudpal: interrupted\nhint: ") {
		t.Errorf("exit %d, %q", exit, out.String())
	}
}

func TestANameDoesNotChangeWhatIsAroundIt(t *testing.T) {
	if got := plain("a\x1b[2J\u202eb\u2066c é🎉"); got != "a\ufffd[2J\ufffdb\ufffdc é🎉" {
		t.Errorf("%q", got)
	}
}
