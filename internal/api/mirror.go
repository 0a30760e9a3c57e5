package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
)

// MirrorRequest runs a blind peer for as long as the request lasts: it keeps logs
// that clients ask for, and cannot read them. The answer holds a [Mirroring] and then
// [MirrorStats] whenever they change.
type MirrorRequest struct {
	Connect
	// Trusted are the public keys of clients that may announce and delete, and have
	// no limits of their own. A node's key is its [Info.ID].
	Trusted []string `json:"trusted,omitempty"`
	// TrustedOnly takes no logs of others.
	TrustedOnly bool `json:"trustedOnly,omitempty"`
	// MaxBytes limits everything, MaxBytesPerClient what a client has that is not
	// trusted. 0 means 100 GB, and a tenth of MaxBytes.
	MaxBytes          uint64 `json:"maxBytes,omitempty"`
	MaxBytesPerClient uint64 `json:"maxBytesPerClient,omitempty"`
}

// The events of mirrors.
const (
	TypeMirroring   = "mirroring"
	TypeMirrorStats = "mirror-stats"
	TypeMirrored    = "mirrored"
	TypeUnmirrored  = "unmirrored"
)

// Mirroring says that a mirror runs, and by which key clients reach it.
type Mirroring struct {
	Type   string   `json:"type"`
	Key    string   `json:"key"`
	Listen []string `json:"listen"`
}

// MirrorStats says how much a mirror holds, and what it has done since it runs.
type MirrorStats struct {
	Type        string `json:"type"`
	Logs        int    `json:"logs"`
	Open        int    `json:"open"`
	Announced   int    `json:"announced"`
	Bases       int    `json:"bases"`
	Clients     int    `json:"clients"`
	Connections int    `json:"connections"`
	// Bytes is what the logs take, as limited by MaxBytes.
	Bytes    uint64 `json:"bytes"`
	MaxBytes uint64 `json:"maxBytes"`
	Orders   uint64 `json:"orders"`
	Added    uint64 `json:"added"`
	// Deleted counts logs that clients wanted gone, Forgotten those that made room,
	// BytesCleared blocks that did, Refused logs there was no room for.
	Deleted      uint64 `json:"deleted"`
	Forgotten    uint64 `json:"forgotten"`
	BytesCleared uint64 `json:"bytesCleared"`
	// BytesReleased is of blocks that went because their writers have no use for them.
	BytesReleased uint64 `json:"bytesReleased"`
	Refused       uint64 `json:"refused"`
	Downgraded    uint64 `json:"downgraded"`
	Wakeups       uint64 `json:"wakeups"`
}

// Mirrored says how a mirror is doing with what was shared.
type Mirrored struct {
	Type string `json:"type"`
	// Mirror is its public key.
	Mirror string `json:"mirror"`
	// Reached tells whether there is a connection, Complete whether the mirror holds
	// everything.
	Reached  bool `json:"reached"`
	Complete bool `json:"complete"`
	// Version is that of the drive here.
	Version uint64 `json:"version"`
}

// UnmirrorRequest has mirrors delete drives. They do so for nodes that they trust.
type UnmirrorRequest struct {
	Connect
	// Refs holds the drives.
	Refs []string `json:"refs"`
	// Dir is the folder that a relative path in Refs starts from.
	Dir string `json:"dir,omitempty"`
}

// Unmirrored says that a mirror has deleted a drive.
type Unmirrored struct {
	Type   string `json:"type"`
	Mirror string `json:"mirror"`
	Link   string `json:"link"`
	// Existed tells whether it had any of its logs.
	Existed bool `json:"existed"`
}

// ParseKeys reads the public keys that a flag names.
func ParseKeys(flag string, texts []string) (keys []hypercrypto.PublicKey, err error) {
	for _, text := range texts {
		key, err := hypercrypto.ParseKey(text)
		if err != nil {
			return nil, fault.New(fault.Usage, "%s %q: %w", flag, text, err).Hint("a key has 52 letters and digits, or 64 hexadecimal digits")
		}
		keys = append(keys, hypercrypto.PublicKey(key))
	}
	return keys, nil
}

// reachMirrors adds connections to mirrors to those that leave ends.
func (h *handler) reachMirrors(texts []string, leave func()) (func(), error) {
	undo := []func(){leave}
	all := func() {
		for _, fn := range slices.Backward(undo) {
			fn()
		}
	}
	mirrors, err := ParseKeys("--mirror", texts)
	for _, m := range mirrors {
		var left func()
		if left, err = h.Mirrors.Reach(m); err != nil {
			err = fault.Wrap(fault.Closing, err)
			break
		}
		undo = append(undo, left)
	}
	if err != nil {
		all()
		return nil, err
	}
	return all, nil
}

func (h *handler) mirror(ctx context.Context, r MirrorRequest, s *Stream) error {
	return h.Mirror(ctx, r, func(p Peer) { p.Type = TypePeer; s.Tell(TypePeer, p) },
		func(m Mirroring) { s.Send(TypeMirroring, m) }, func(st MirrorStats) { s.Send(TypeMirrorStats, st) })
}

// lookTime is how often it is looked what mirrors hold.
const lookTime = 250 * time.Millisecond

// keep has the mirrors of a request keep a drive and reports how they do, until stop
// is called.
func (h *handler) keep(c *Connect, logs *files.Logs, s *Stream) (stop func(), err error) {
	mirrors, err := ParseKeys("--mirror", c.Mirrors)
	if err != nil || len(mirrors) == 0 {
		return func() {}, err
	}
	key := logs.Key()
	k, err := h.Mirrors.Keep(blindpeer.Subject{
		Target: key, Referrer: &key, Mirrors: mirrors, Pick: len(mirrors), Priority: blindpeer.PriorityNormal, Announce: true,
		Logs: func() (list []blindpeer.Log) {
			for _, l := range logs.List() {
				list = append(list, blindpeer.Log{Key: l.Key, Length: l.Length})
			}
			return list
		},
	})
	if err != nil {
		return nil, fault.Wrap(fault.Closing, err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lookTime)
		defer tick.Stop()
		told := make(map[hypercrypto.PublicKey]Mirrored)
		known := 0
		for {
			list := logs.List()
			if len(list) != known {
				known = len(list)
				k.Update()
			}
			state := k.Mirrors()
			for _, m := range slices.SortedFunc(maps.Keys(state), func(a, b hypercrypto.PublicKey) int { return slices.Compare(a[:], b[:]) }) {
				now := Mirrored{TypeMirrored, m.String(), state[m], state[m] && logs.HeldBy(m), list[0].Length}
				if before, ok := told[m]; ok && before == now || !ok && !now.Reached {
					continue
				}
				told[m] = now
				s.Send(TypeMirrored, now)
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended; k.Close() }, nil
}

// keepDrive is keep for a drive that is known here.
func (h *handler) keepDrive(ctx context.Context, c *Connect, r files.Record, s *Stream) (stop func(), err error) {
	if len(c.Mirrors) == 0 {
		return func() {}, nil
	}
	logs, err := h.Files.Logs(ctx, r)
	if err != nil {
		return nil, err
	}
	stop, err = h.keep(c, logs, s)
	if err != nil {
		logs.Close()
		return nil, err
	}
	return func() { stop(); logs.Close() }, nil
}

func (h *handler) unmirror(ctx context.Context, r UnmirrorRequest, s *Stream) error {
	mirrors, err := ParseKeys("--mirror", r.Mirrors)
	if err != nil {
		return err
	}
	if len(mirrors) == 0 {
		return fault.New(fault.Usage, "no mirror is named").Hint("name one with --mirror KEY")
	}
	_, leave, err := h.join(ctx, r.Connect, s, nil)
	if err != nil {
		return err
	}
	defer leave()
	if r.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Patience)
		defer cancel()
	}
	for _, ref := range r.Refs {
		place, err := h.Files.Find(ref, r.Dir)
		if err != nil {
			return err
		}
		logs, err := h.Files.Logs(ctx, place.Record)
		if err != nil {
			return err
		}
		list := logs.List()
		logs.Close()
		for _, m := range mirrors {
			out := Unmirrored{Type: TypeUnmirrored, Mirror: m.String(), Link: place.Record.Link}
			for _, l := range list {
				existed, err := h.Mirrors.Delete(ctx, m, l.Key)
				if err != nil {
					return explainMirror(m, err)
				}
				out.Existed = out.Existed || existed
			}
			s.Send(TypeUnmirrored, out)
		}
	}
	return nil
}

func explainMirror(m hypercrypto.PublicKey, err error) error {
	var refused *blindpeer.RemoteError
	switch {
	case errors.As(err, &refused):
		return fault.New(fault.Permission, "mirror %s: %w", m, err).Hint("its owner has to trust this node: cloudpal mirror --trust KEY, with the id that \"cloudpal info\" prints")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, blindpeer.ErrClosed):
		return fault.New(fault.Unavailable, "mirror %s cannot be reached: %w", m, err)
	}
	return err
}
