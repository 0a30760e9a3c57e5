package handoff

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/cpace"
	"github.com/tradle/cloudpal/hyper/cpace/spoken"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// The two sides are a host, which shows the code, and a guest, who was told it.
// Independently of that one sends and the other receives, files or a note.

const version = 1

// Flags of a hello.
const (
	flagSends  = 1 << iota // this side sends
	flagAgain              // the secret is the key of an earlier run instead of the code
	flagNote               // it is about a note instead of files
	flagDevice             // it is about a new device instead of files
)

// purpose are the flags that say what it is about.
const purpose = flagNote | flagDevice

// part is what a side wants: flagSends or not, and one of the purposes or none.
type part byte

// pairTime is how long a pairing may take. No person takes part in it.
const pairTime = 20 * time.Second

// reason is why a host refuses a guest.
type reason byte

const (
	reasonWrong   reason = 1 // the code is wrong
	reasonUsed    reason = 2 // the code is used up, or there is a transfer already
	reasonRoles   reason = 3 // both send, or both receive
	reasonVersion reason = 4
	reasonPurpose reason = 5 // the two sides are about different things
)

// context of the key exchange.
var pairContext = []byte("cloudpal/handoff 1")

func input(secret []byte, conn *secretstream.Conn, hello byte, host bool) cpace.Input {
	hash := conn.HandshakeHash()
	side := byte('g')
	if host {
		side = 'h'
	}
	return cpace.Input{Secret: secret, Context: pairContext, Session: hash[:], Data: []byte{side, hello}}
}

func flags(p part, again bool) byte {
	if again {
		p |= flagAgain
	}
	return byte(p)
}

func sendHello(conn *secretstream.Conn, f byte, share [cpace.ShareSize]byte) error {
	return send(conn, kindHello, append([]byte{version, f}, share[:]...))
}

func parseHello(b []byte) (v, f byte, share [cpace.ShareSize]byte, err error) {
	if len(b) < 2+cpace.ShareSize {
		return 0, 0, share, protocolError("a hello of %d bytes", len(b))
	}
	return b[0], b[1], [cpace.ShareSize]byte(b[2:]), nil
}

// ErrPurpose says that a code is for something else than what it was typed in for.
var ErrPurpose = errors.New("the code is for something else")

// errNotSpent marks failures before the guest has spent its guess.
var errNotSpent = errors.New("no guess was made")

// guestPair proves to the host of conn that this side knows the secret, and the
// other way round. It returns the key of the run.
func guestPair(conn *secretstream.Conn, secret []byte, p part, again bool) (*cpace.Key, error) {
	defer deadline(conn)()
	f := flags(p, again)
	run := cpace.Initiate(input(secret, conn, f, false))
	if err := sendHello(conn, f, run.Share()); err != nil {
		return nil, errors.Join(errNotSpent, err)
	}
	k, b, err := receive(conn)
	if err != nil {
		return nil, errors.Join(errNotSpent, err)
	}
	if k == kindRefuse {
		return nil, refusal(b)
	}
	if k != kindHello {
		return nil, errors.Join(errNotSpent, protocolError("message %d instead of a hello", k))
	}
	v, theirs, share, err := parseHello(b)
	if err != nil {
		return nil, errors.Join(errNotSpent, err)
	}
	if v != version || theirs != f^flagSends {
		return nil, errors.Join(errNotSpent, protocolError("a hello of version %d with flags %d", v, theirs))
	}
	key, err := run.Finish(share, []byte{'h', theirs})
	if err != nil {
		return nil, errors.Join(errNotSpent, protocolError("%v", err))
	}
	tag := key.Tag()
	if err := send(conn, kindTag, tag[:]); err != nil {
		return nil, lostOr(err)
	}
	k, b, err = receive(conn)
	switch {
	case err != nil:
		return nil, lostOr(err)
	case k == kindRefuse:
		return nil, refusal(b)
	case k != kindTag || len(b) != cpace.TagSize:
		return nil, protocolError("message %d instead of a confirmation", k)
	case !key.Confirm([cpace.TagSize]byte(b)):
		return nil, fault.New(fault.Unsafe, "the other side does not know the code").
			Hint("somebody on the network answered in place of the one who shows it; start again with a new code")
	}
	return key, nil
}

func refusal(b []byte) error {
	r := reason(0)
	if len(b) > 0 {
		r = reason(b[0])
	}
	switch r {
	case reasonWrong:
		return fault.New(fault.Permission, "the code is wrong, and is now used up").Hint("ask for a new code; each is good for one try")
	case reasonUsed:
		return fault.New(fault.Permission, "the code is used up").Hint("ask for a new code; each is good for one try")
	case reasonRoles:
		return fault.New(fault.Usage, "both sides want to do the same").Hint("one side runs cloudpal send, the other cloudpal receive")
	case reasonPurpose:
		return fault.New(fault.Usage, "%w: files, an invite or a new device", ErrPurpose).
			Hint("use the command that the other side names with the code")
	case reasonVersion:
		return fault.New(fault.Usage, "the other side speaks another version of the protocol").Hint("use the same version of cloudpal on both sides")
	}
	return protocolError("refused for reason %d", r)
}

// deadline limits the time of a pairing.
func deadline(conn *secretstream.Conn) (clear func()) {
	_ = conn.SetDeadline(time.Now().Add(pairTime)) // a closed connection fails soon enough
	return func() { _ = conn.SetDeadline(time.Time{}) }
}

// host is the side that shows the code, between showing it and the end.
type host struct {
	code spoken.Code
	part part
	// paired receives connections with a guest that knows the secret. It holds one.
	paired chan *secretstream.Conn
	failed chan error // receives the end by a wrong code

	mu   sync.Mutex // guards what follows
	used bool       // the code was tried
	key  *[32]byte  // of the run with the code, for when the connection breaks
}

func newHost(p part) *host {
	return &host{code: spoken.New(), part: p, paired: make(chan *secretstream.Conn), failed: make(chan error, 1)}
}

// accept speaks with whoever has come, and hands the connection on if it is the
// guest.
func (h *host) accept(ctx context.Context, conn *secretstream.Conn) error {
	ok, err := h.pair(conn)
	if !ok {
		return errors.Join(err, conn.Close())
	}
	select {
	case h.paired <- conn:
		return nil
	case <-ctx.Done():
		return conn.Close()
	}
}

func (h *host) pair(conn *secretstream.Conn) (ok bool, err error) {
	defer deadline(conn)()
	k, b, err := receive(conn)
	if err != nil || k != kindHello {
		return false, err
	}
	v, f, share, err := parseHello(b)
	if err != nil {
		return false, err
	}
	again := f&flagAgain != 0
	secret, used := h.secret(again)
	mine := flags(h.part, again)
	switch {
	case v != version:
		return false, refuse(conn, reasonVersion)
	case used:
		return false, refuse(conn, reasonUsed)
	case (f^mine)&purpose != 0:
		return false, refuse(conn, reasonPurpose)
	case f != mine^flagSends:
		return false, refuse(conn, reasonRoles)
	}
	run := cpace.Respond(input(secret, conn, mine, true))
	if err := sendHello(conn, mine, run.Share()); err != nil {
		return false, err
	}
	key, err := run.Finish(share, []byte{'g', f})
	if err != nil {
		return false, err // no share, no key, nothing was guessed
	}
	k, b, err = receive(conn)
	if err != nil || k != kindTag || len(b) != cpace.TagSize {
		return false, err
	}
	if !again && !h.spend() {
		return false, refuse(conn, reasonUsed)
	}
	if !key.Confirm([cpace.TagSize]byte(b)) {
		err := refuse(conn, reasonWrong)
		if !again {
			h.failed <- fault.New(fault.Permission, "somebody tried a wrong code; it is now used up").
				Hint("run the command again for a new code, and say that to the right person")
		}
		return false, err
	}
	if !again {
		h.keep(key) // before the guest can need it
	}
	tag := key.Tag()
	if err := send(conn, kindTag, tag[:]); err != nil {
		return false, err
	}
	return true, nil
}

// secret returns what a guest must know, and whether it is of no use any more.
func (h *host) secret(again bool) (secret []byte, used bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if again {
		if h.key == nil {
			return nil, true
		}
		return h.key[:], false
	}
	return h.code.Secret(), h.used
}

// spend uses the code up and tells whether it was good until now.
func (h *host) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	good := !h.used
	h.used = true
	return good
}

func (h *host) keep(key *cpace.Key) {
	k := againKey(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key = &k
}

// againKey is the secret of later runs between the same two sides.
func againKey(key *cpace.Key) [32]byte { return key.Derive("cloudpal/handoff again") }

// refuse tells the guest why, and lets it read that before the connection is
// closed.
func refuse(conn *secretstream.Conn, r reason) error {
	err := send(conn, kindRefuse, []byte{byte(r)})
	if err == nil {
		finish(conn)
	}
	return err
}
