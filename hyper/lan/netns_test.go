//go:build linux

package lan

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Two machines are two network namespaces joined by a cable; each node is a
// process of its own, which is this test program.

// childEnv makes the test program a node: TOPIC PORT.
const childEnv = "LAN_TEST_NODE"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) > 0 {
		if err := child(args); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child announces and browses, prints what it finds, and ends with its input.
func child(args []string) error {
	opts := Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	n, err := New(opts)
	if err != nil {
		return err
	}
	topic, _ := strconv.Atoi(args[0])
	port, _ := strconv.ParseUint(args[1], 10, 16)
	if _, err := n.Announce(Topic{byte(topic)}, uint16(port)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e, err := range n.Browse(ctx, Topic{byte(topic)}) {
			switch {
			case err != nil:
			case e.Gone:
				fmt.Println("gone", e.Addr)
			default:
				fmt.Println("found", e.Addr)
			}
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	<-done
	n.Close()
	return err
}

// network makes two namespaces joined by a cable.
func network(t *testing.T) (spaces [2]string) {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	for i := range spaces {
		spaces[i] = fmt.Sprintf("lan-%d-%d", os.Getpid(), i)
		run("netns", "add", spaces[i])
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", spaces[i]).Run() })
	}
	run("-n", spaces[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", spaces[1])
	for i, s := range spaces {
		run("-n", s, "link", "set", "lo", "up")
		run("-n", s, "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "dev", "cable")
		run("-n", s, "link", "set", "cable", "up")
	}
	return spaces
}

// process is a node in a namespace.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

func spawn(t *testing.T, space, args string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: args + " in " + space, cmd: exec.Command("ip", "netns", "exec", space, self), lines: make(chan string, 100)}
	p.cmd.Env = append(os.Environ(), childEnv+"="+args)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	p.cmd.Stderr = &log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s:\n%s", p.name, &log)
		}
	})
	return p
}

func (p *process) stop() {
	p.stdin.Close()
	_ = p.cmd.Wait()
}

// expect waits until the node has printed all lines, and others maybe.
func (p *process) expect(t *testing.T, want ...string) {
	t.Helper()
	left := make(map[string]bool)
	for _, w := range want {
		left[w] = true
	}
	timeout := time.After(time.Minute)
	for len(left) > 0 {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended without saying %v", p.name, left)
			}
			delete(left, line)
			for w := range left { // "found fe80:*" stands for any address
				if head, tail, ok := strings.Cut(w, "*"); ok && strings.HasPrefix(line, head) && strings.HasSuffix(line, tail) {
					delete(left, w)
				}
			}
		case <-timeout:
			t.Fatalf("%s does not say %v", p.name, left)
		}
	}
}

func TestTwoMachinesOnOneCable(t *testing.T) {
	spaces := network(t)
	one := spawn(t, spaces[0], "1 4100")
	two := spawn(t, spaces[1], "1 4200")
	other := spawn(t, spaces[1], "2 4300")
	same := spawn(t, spaces[1], "1 4400") // a second node of the same machine
	one.expect(t, "found 10.77.0.2:4200", "found 10.77.0.2:4400", "found [fe80:*%cable]:4200")
	two.expect(t, "found 10.77.0.1:4100", "found 10.77.0.2:4400", "found [fe80:*%cable]:4100")
	same.expect(t, "found 10.77.0.1:4100", "found 10.77.0.2:4200")
	one.stop()
	two.expect(t, "gone 10.77.0.1:4100")
	other.stop()
	for line := range other.lines {
		t.Errorf("a node of another topic says %q", line)
	}
}

func prefixesOf(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Only packets that were sent to all on the link by somebody on it count.
func TestPacketsFromElsewhereAreIgnored(t *testing.T) {
	s := &sockets{log: slog.New(slog.DiscardHandler), segments: map[int]*segment{
		6: {iface: net.Interface{Index: 3, Name: "cable"}, prefixes: prefixesOf("10.77.0.1/24")},
		7: {iface: net.Interface{Index: 3, Name: "cable"}, six: true, prefixes: prefixesOf("fe80::1/64")},
		8: {iface: net.Interface{Index: 4, Name: "radio"}, prefixes: prefixesOf("192.168.7.1/24")},
	}}
	for _, c := range []struct {
		from  string
		index int
		to    net.IP
		want  string
	}{
		{"10.77.0.9:5353", 3, group4.IP, "10.77.0.9"},
		{"[fe80::9%cable]:5353", 3, group6.IP, "fe80::9%cable"},
		{"10.77.0.9:5353", 0, nil, "10.77.0.9"},           // a system that does not tell more
		{"10.77.0.9:5353", 3, net.IPv4(10, 77, 0, 1), ""}, // sent to us alone
		{"10.77.0.9:5353", 4, group4.IP, ""},              // on another interface
		{"10.77.0.9:5353", 7, group4.IP, ""},              // on one that is not in use
		{"8.8.8.8:5353", 3, group4.IP, ""},                // routed
		{"10.77.0.9:1234", 3, group4.IP, "10.77.0.9"},     // may ask
	} {
		from, err := net.ResolveUDPAddr("udp", c.from)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := s.onLink(from, c.index, c.to)
		if got := p.from; ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%+v: %v, %v", c, got, ok)
		}
		if ok && p.question != (from.Port != 5353) {
			t.Errorf("%+v: may only ask: %v", c, p.question)
		}
	}
}
