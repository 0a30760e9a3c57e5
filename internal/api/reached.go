package api

import (
	"errors"
	"sync"

	"github.com/tradle/cloudpal/internal/fault"
)

// reached remembers what became of the peers that a request named, so that a
// drive that nobody gave can be explained. The zero value is ready to use.
type reached struct {
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
	case r.failed.Address != "":
		return fault.New(fault.Unavailable, "%s cannot be reached: %s", r.failed.Address, r.failed.Error).
			Hint("the machine that shares the drive must be running cloudpal share, with --listen tcp://0.0.0.0:PORT")
	}
	return err
}
