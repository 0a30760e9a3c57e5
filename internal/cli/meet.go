package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

// meetFlags say how the two sides of a handoff come together.
type meetFlags struct {
	name                      string
	interfaces, listen, peers []string
	timeout                   time.Duration
	swarm                     swarmFlags
	lan                       lanFlags
}

func (m *meetFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.name, "name", "", "how this machine is called on the other side (default: its host name)")
	f.StringArrayVar(&m.interfaces, "interface", nil, "look for the other side on the network interface of this `NAME` only (repeatable)")
	f.StringArrayVar(&m.listen, "listen", nil, "with the code on this side: wait at this `ADDRESS`, such as tcp://192.168.1.7:4100 (repeatable)")
	f.StringArrayVar(&m.peers, "peer", nil, "with the code on the other side: look at this `ADDRESS`, too (repeatable)")
	f.DurationVar(&m.timeout, "timeout", 0, "how long to wait for the other side; 0 is for ever (default 1m with the code of the other side, else 10m)")
	m.swarm.add(f)
	m.lan.add(f)
}

func (m *meetFlags) request(code string, timeoutSet bool) api.Meeting {
	patience := m.timeout
	switch {
	case timeoutSet:
	case code != "":
		patience = time.Minute
	default:
		patience = 10 * time.Minute
	}
	swarm := m.swarm.request()
	return api.Meeting{Code: code, Device: m.name, Listen: m.listen, Peers: m.peers, Patience: patience,
		Swarm: swarm, LAN: m.lan.request(m.interfaces, swarm)}
}

// showCode prints the code, and to the person what to do with it.
func (g *globals) showCode(e client.Event, command string) error {
	var v api.Code
	if err := e.Decode(&v); err != nil {
		return err
	}
	if err := g.print("%s", v.Code); err != nil || g.quiet {
		return err
	}
	g.newProgress().print("on the other machine: %s %s", command, v.Code)
	return nil
}

// showMeeting shows the other events of a handoff.
func (g *globals) showMeeting(e client.Event) error {
	if g.quiet {
		return nil
	}
	switch e.Type {
	case api.TypeMet:
		var v api.Met
		if err := e.Decode(&v); err != nil {
			return err
		}
		g.newProgress().print("connected to %s", plain(v.Device))
	case api.TypeListening:
		var v api.Listening
		if err := e.Decode(&v); err != nil {
			return err
		}
		for _, a := range v.Listen {
			g.newProgress().print("if it is not found there: --peer %s", a)
		}
	}
	return nil
}

// maxLine limits what a person types, in bytes.
const maxLine = 4096

// ask asks the person and returns the line typed, without the spaces around it; no
// line is an empty one. A question that ctx ends stays open: whoever asks is about
// to end, too.
func (g *globals) ask(ctx context.Context, format string, args ...any) (string, error) {
	if !g.json {
		fmt.Fprintf(g.stderr, format, args...)
	}
	type typed struct {
		line string
		err  error
	}
	answer := make(chan typed, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(g.stdin, maxLine)).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		answer <- typed{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-answer:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
