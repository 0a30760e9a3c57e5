package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/cpace/spoken"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// Options are those that both sides have.
type Options struct {
	// Code is what the other side shows. If it is empty this side shows one.
	Code string
	// Device is how this machine introduces itself to the other side, once that has
	// proven to know the code. Empty is the machine's name.
	Device string
	// Patience is how long to wait for the other side, for the first time and after
	// the connection was lost. 0 is for ever.
	Patience time.Duration
	// Watch is told what happens.
	Watch Watcher
}

// Watcher is told what happens in a transfer. Nil functions are not called. Calls
// do not overlap.
type Watcher struct {
	// Code is called with the code to show.
	Code func(code string)
	// Connected is called with the name of the other side.
	Connected func(device string)
	// Offer is asked whether to take what is offered. Nil takes everything.
	Offer func(ctx context.Context, o Offer) (bool, error)
	// Progress must return quickly.
	Progress func(Progress)
	// Warn is called for a file that stays behind, and for a connection that is made
	// again; path is empty then.
	Warn func(path string, err error)
}

func (w *Watcher) code(c string) {
	if w.Code != nil {
		w.Code(c)
	}
}

func (w *Watcher) connected(device string) {
	if w.Connected != nil {
		w.Connected(device)
	}
}

func (w *Watcher) offer(ctx context.Context, o Offer) (bool, error) {
	w.connected(o.Device)
	if w.Offer == nil {
		return true, nil
	}
	return w.Offer(ctx, o)
}

func (w *Watcher) progress(p Progress) {
	if w.Progress != nil {
		w.Progress(p)
	}
}

func (w *Watcher) warn(path string, err error) {
	if w.Warn != nil {
		w.Warn(path, err)
	}
}

// Offer is what the other side wants to send. Texts are fit to be shown.
type Offer struct {
	Device       string
	Files, Bytes uint64
	// Items are the first of the files and folders to be sent; Count is the number
	// of all.
	Items []Item
	Count uint64
}

// Item is a file or folder.
type Item struct {
	Name   string
	Folder bool
	Bytes  uint64
}

// Progress is how far a transfer has come.
type Progress struct {
	Files, TotalFiles uint64
	Bytes, TotalBytes uint64
}

// SendOptions configures [Send].
type SendOptions struct {
	Options
	// Paths are the files and folders to send.
	Paths []string
	// To is the name that the other side must have, in any case. Empty is any.
	To string
}

// ReceiveOptions configures [Receive].
type ReceiveOptions struct {
	Options
	// Dest is the folder to write to. It is made if it does not exist.
	Dest string
}

// Result is a transfer that is complete.
type Result struct {
	// Device is the name of the other side.
	Device       string
	Files, Bytes uint64
	// Names are what was received, as it is called in the destination.
	Names []string
}

// Send gives files to the other side. It returns when they are in their place
// there. An error of kind [fault.Conflict] means that all but some files are.
func Send(ctx context.Context, rv Rendezvous, opts SendOptions) (Result, error) {
	device, err := deviceName(opts.Device)
	if err != nil {
		return Result{}, err
	}
	source, err := newSource(ctx, opts.Paths, device, opts.Watch.warn)
	if err != nil {
		return Result{}, err
	}
	var result Result
	s := &sender{source: source, to: opts.To, watch: opts.Watch}
	s.watch.Connected = func(device string) { result.Device = device; opts.Watch.connected(device) }
	if err := meet(ctx, rv, &opts.Options, flagSends, s.run); err != nil {
		return result, err
	}
	result.Files, result.Bytes = source.offer.Files-uint64(len(s.bad)), source.offer.Bytes
	for i := range s.bad {
		result.Bytes -= source.entries[i].Size
	}
	return result, s.result()
}

// Receive takes files from the other side and returns when they are in their
// place. An error of kind [fault.Conflict] means that all but some files are.
func Receive(ctx context.Context, rv Rendezvous, opts ReceiveOptions) (Result, error) {
	device, err := deviceName(opts.Device)
	if err != nil {
		return Result{}, err
	}
	var result Result
	r := &receiver{dest: opts.Dest, device: device, watch: opts.Watch}
	r.watch.Connected = func(device string) { result.Device = device; opts.Watch.connected(device) }
	if err := meet(ctx, rv, &opts.Options, 0, r.run); err != nil {
		if errors.As(err, new(*declined)) {
			err = fault.New(fault.Canceled, "you declined")
		}
		return result, err
	}
	result.Files, result.Bytes, result.Names = r.progress.Files, r.progress.Bytes, r.names
	return result, r.result()
}

// maxDevice limits the name of a device in bytes.
const maxDevice = 64

func deviceName(name string) (string, error) {
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("find this machine's name: %w", err)
		}
		name, _, _ = strings.Cut(host, ".")
	}
	if name = printable(strings.TrimSpace(name), maxDevice); name == "" {
		name = "unnamed"
	}
	return name, nil
}

// CheckCode tells whether what a person typed can be a code.
func CheckCode(s string) error {
	_, err := parseCode(s)
	return err
}

// parseCode reads what a person typed.
func parseCode(s string) (spoken.Code, error) {
	c, err := spoken.Parse(s)
	var p *spoken.ParseError
	if !errors.As(err, &p) {
		return c, err
	}
	f := fault.New(fault.Usage, "%w", err)
	if len(p.Suggestions) > 0 {
		f = f.Hint("did you mean %s?", strings.Join(p.Suggestions, " or "))
	}
	return c, f.Hint("the code is not used up")
}

// lost tells whether an error is that of a connection, which can be made again.
func lost(err error) bool {
	return err != nil && !errors.As(err, new(*fault.Error)) && !errors.As(err, new(*declined))
}

// lostOr gives the loss of a connection a kind.
func lostOr(err error) error {
	if !lost(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, secretstream.ErrClosed) {
		err = errors.New("the other side went away")
	}
	return fault.New(fault.Unavailable, "connection lost: %w", err).
		Hint("run the command again on both sides, in the same folders: it goes on where it stopped")
}

// finish waits until the other side has read everything and closed.
func finish(conn *secretstream.Conn) {
	if conn.CloseWrite() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(pairTime)) // a closed connection needs none
	for {
		if _, err := conn.ReadFrame(); err != nil {
			return
		}
	}
}
