package api

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/cpace/spoken"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
	"github.com/tradle/cloudpal/internal/handoff"
)

// Meeting says how the two sides of a handoff come together: one shows a code, the
// other was told it.
type Meeting struct {
	// Code is what the other side shows; empty lets this side show one, with a
	// [Code] event.
	Code string `json:"code,omitempty"`
	// Device is what this machine is called on the other side. Empty is its name.
	Device string `json:"device,omitempty"`
	// LAN looks on the local link; nil does not.
	LAN *LAN `json:"lan,omitempty"`
	// Swarm looks everywhere, through the DHT; nil does not.
	Swarm *Swarm `json:"swarm,omitempty"`
	// Listen holds the addresses at which the side that shows the code accepts the
	// other, such as tcp://127.0.0.1:0; empty is a free port on all interfaces with
	// LAN, and none without.
	Listen []string `json:"listen,omitempty"`
	// Peers holds addresses at which the side that was told the code looks for the
	// other, besides those that it finds.
	Peers []string `json:"peers,omitempty"`
	// Patience is how long to wait for the other side. 0 is for ever.
	Patience time.Duration `json:"patience,omitempty"`
}

// SendRequest gives files to somebody who is there. The answer ends with a [Sent]
// event.
type SendRequest struct {
	Meeting
	// Paths are absolute.
	Paths []string `json:"paths"`
	// To is the name that the other side must have; empty is any.
	To string `json:"to,omitempty"`
}

// ReceiveRequest takes files from somebody. The answer holds an [Offer] and ends
// with a [Received] event.
type ReceiveRequest struct {
	Meeting
	// Dest is the absolute path of the folder to write to.
	Dest string `json:"dest"`
	// Accept takes whatever is offered. Otherwise the offer waits for a
	// [DecisionRequest].
	Accept bool `json:"accept,omitempty"`
}

// DecisionRequest answers an [Offer].
type DecisionRequest struct {
	// Offer is the number of the offer.
	Offer  string `json:"offer"`
	Accept bool   `json:"accept"`
}

// The names of the events of handoffs.
const (
	TypeCode     = "code"
	TypeMet      = "met"
	TypeOffer    = "offer"
	TypeSent     = "sent"
	TypeReceived = "received"
)

// Code is the code to tell the other side. It is good for one try.
type Code struct {
	Type string `json:"type"`
	Code string `json:"code"`
}

// Met says that the other side is there and has proven to know the code.
type Met struct {
	Type   string `json:"type"`
	Device string `json:"device"`
}

// Offer describes what the other side wants to send.
type Offer struct {
	Type string `json:"type"`
	// Offer is the number for a [DecisionRequest]; empty if the offer was accepted
	// beforehand.
	Offer  string      `json:"offer,omitempty"`
	Device string      `json:"device"`
	Files  uint64      `json:"files"`
	Bytes  uint64      `json:"bytes"`
	Items  []OfferItem `json:"items"`
	// Count is the number of files and folders that were named; Items may be fewer.
	Count uint64 `json:"count"`
}

// OfferItem is a file or folder that the other side named.
type OfferItem struct {
	Name   string `json:"name"`
	Folder bool   `json:"folder,omitempty"`
	Bytes  uint64 `json:"bytes"`
}

// Sent says that the other side has everything.
type Sent struct {
	Type   string `json:"type"`
	Device string `json:"device"`
	Files  uint64 `json:"files"`
	Bytes  uint64 `json:"bytes"`
}

// Received says that everything is in its place.
type Received struct {
	Type   string `json:"type"`
	Device string `json:"device"`
	Files  uint64 `json:"files"`
	Bytes  uint64 `json:"bytes"`
	Dest   string `json:"dest"`
	// Names are the files and folders as they are called in Dest.
	Names []string `json:"names"`
}

// CompleteCode returns what a partly typed code can go on to.
func CompleteCode(s string) []string { return spoken.Complete(s) }

func (h *handler) send(ctx context.Context, r SendRequest, s *Stream) error {
	if err := absolute(r.Paths...); err != nil {
		return err
	}
	o := handoff.SendOptions{Paths: r.Paths, To: r.To}
	var progress *throttle
	o.Options, progress = h.meeting(&r.Meeting, "send", s)
	meeting, leave := h.rendezvous(&r.Meeting, s)
	defer leave()
	res, err := handoff.Send(ctx, meeting, o)
	progress.flush()
	if err != nil && res.Files == 0 {
		return err
	}
	s.Send(TypeSent, Sent{TypeSent, res.Device, res.Files, res.Bytes})
	return err
}

func (h *handler) receive(ctx context.Context, r ReceiveRequest, s *Stream) error {
	if err := absolute(r.Dest); err != nil {
		return err
	}
	o := handoff.ReceiveOptions{Dest: r.Dest}
	var progress *throttle
	o.Options, progress = h.meeting(&r.Meeting, "receive", s)
	o.Watch.Offer = func(ctx context.Context, offer handoff.Offer) (bool, error) {
		e := Offer{Type: TypeOffer, Device: offer.Device, Files: offer.Files, Bytes: offer.Bytes, Items: []OfferItem{}, Count: offer.Count}
		for _, i := range offer.Items {
			e.Items = append(e.Items, OfferItem(i))
		}
		if r.Accept {
			s.Send(TypeOffer, e)
			return true, nil
		}
		return h.decisions.ask(ctx, func(number string) { e.Offer = number; s.Send(TypeOffer, e) })
	}
	meeting, leave := h.rendezvous(&r.Meeting, s)
	defer leave()
	res, err := handoff.Receive(ctx, meeting, o)
	progress.flush()
	if err != nil && res.Names == nil {
		return err
	}
	s.Send(TypeReceived, Received{TypeReceived, res.Device, res.Files, res.Bytes, r.Dest, res.Names})
	return err
}

// rendezvous makes the way to the other side, and reports where this one listens.
func (h *handler) rendezvous(m *Meeting, s *Stream) (meeting handoff.Rendezvous, leave func()) {
	return h.Meet(*m, func(listen []string) {
		if len(m.Listen) > 0 {
			s.Send(TypeListening, Listening{TypeListening, listen})
		}
	})
}

// meeting makes the options that both sides have.
func (h *handler) meeting(m *Meeting, phase string, s *Stream) (handoff.Options, *throttle) {
	progress := &throttle{s: s}
	return handoff.Options{Code: m.Code, Device: m.Device, Patience: m.Patience, Watch: handoff.Watcher{
		Code:      func(code string) { s.Send(TypeCode, Code{TypeCode, code}) },
		Connected: func(device string) { s.Send(TypeMet, Met{TypeMet, device}) },
		Progress: func(p handoff.Progress) {
			progress.report(files.Progress{Phase: phase, Files: p.Files, TotalFiles: p.TotalFiles, Bytes: p.Bytes, TotalBytes: p.TotalBytes})
		},
		Warn: func(path string, err error) { s.Send(TypeWarning, Warning{TypeWarning, path, err.Error()}) },
	}}, progress
}

func (h *handler) decide(_ context.Context, r DecisionRequest, _ *Stream) error {
	if !h.decisions.answer(r.Offer, r.Accept) {
		return fault.New(fault.NotFound, "there is no such offer any more")
	}
	return nil
}

// decisions are the offers that wait for one.
type decisions struct {
	mu      sync.Mutex // guards waiting
	waiting map[string]chan<- bool
}

// ask makes a number for an offer, tells it, and waits for the decision.
func (d *decisions) ask(ctx context.Context, tell func(number string)) (bool, error) {
	number, answer := rand.Text(), make(chan bool, 1)
	d.mu.Lock()
	if d.waiting == nil {
		d.waiting = make(map[string]chan<- bool)
	}
	d.waiting[number] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, number)
	}()
	tell(number)
	select {
	case accept := <-answer:
		return accept, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (d *decisions) answer(number string, accept bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer, ok := d.waiting[number]
	if !ok {
		return false
	}
	delete(d.waiting, number)
	answer <- accept
	return true
}
