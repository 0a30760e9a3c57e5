package api

import (
	"errors"
	"sync"

	"github.com/tradle/cloudpal/internal/fault"
)

// reached remembers what became of the peers that a request named or found, so
// that a drive that nobody gave can be explained.
type reached struct {
	ways Connect // set once: where was looked

	mu        sync.Mutex // guards what follows
	connected string     // the address of a peer that answered
	failed    Peer       // the last one that did not
}

func (r *reached) note(p Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch p.State {
	case "connected":
		r.connected = p.Address
	case "retrying":
		r.failed = p
	}
}

// explain replaces the hints of an error of missing data by what fits the peers.
func (r *reached) explain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unavailable {
		return err
	}
	switch {
	case r.connected != "":
		return fault.New(fault.Unavailable, "%s is connected and does not have this drive: %w", r.connected, f.Err).
			Hint("compare the link with what cloudpal share printed there: one wrong character names another drive")
	case r.failed.Address != "" && r.failed.Path == "lan":
		return fault.New(fault.Unavailable, "%s in this network has the drive and cannot be reached: %s", r.failed.Address, r.failed.Error).
			Hint("a firewall on that machine, or a guest network, may keep this one out; it must let TCP connections to cloudpal through")
	case r.failed.Address != "":
		return fault.New(fault.Unavailable, "%s cannot be reached: %s", r.failed.Address, r.failed.Error).
			Hint("the machine that shares the drive must be running cloudpal share, with --listen tcp://0.0.0.0:PORT")
	}
	e := &fault.Error{Kind: f.Kind, Err: f.Err, Hints: f.Hints}
	switch w := &r.ways; {
	case w.LAN == nil && w.Swarm == nil:
		return e.Hint("it was looked for nowhere: leave out --no-lan and --no-dht, or name a machine that has it with --peer tcp://HOST:PORT")
	case w.LAN == nil && w.Swarm.RelayOnly:
		return e.Hint("it was looked for through relays only, which have to be the same on both sides")
	case w.LAN == nil:
		return e.Hint("it was not looked for in this network: leave out --no-lan if it may be there").
			Hint("see what works from here: cloudpal net doctor")
	case w.Swarm == nil:
		return e.Hint("it was looked for in this network only: leave out --no-dht if it may be elsewhere")
	}
	return e.Hint("see what works from here: cloudpal net doctor").
		Hint("name the machine's address if nothing else works: --peer tcp://HOST:PORT, and there --listen tcp://0.0.0.0:PORT")
}
