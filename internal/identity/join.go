package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// Limits of what two devices say to each other, in bytes.
const (
	// MaxWelcome limits what a device gives a new one besides the proof.
	MaxWelcome = 256 << 10
	// MaxName limits the name of a device.
	MaxName = 64

	maxMessage = MaxWelcome + 32<<10
)

const joinVersion = 1

// The answers to a request.
const (
	answerVouched = 0
	answerRefused = 1
)

// Request is what a new device tells one that shall vouch for it.
type Request struct {
	Device hypercrypto.PublicKey
	// Name is what the new device calls itself, fit to be shown.
	Name string
}

func (r *Request) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, joinVersion)
	b = append(b, r.Device[:]...)
	return compact.AppendString(b, r.Name)
}

func decodeRequest(b []byte) (*Request, error) {
	rd := compact.NewReader(b)
	if v := rd.Uint(); rd.Err() == nil && v != joinVersion {
		return nil, fault.New(fault.Usage, "the new device speaks version %d of the protocol", v).Hint("use the same version of cloudpal on both")
	}
	r := &Request{Device: rd.Fixed32(), Name: string(rd.Buffer())}
	if err := rd.Err(); err != nil {
		return nil, joinError("%v", err)
	}
	if rd.Len() > 0 || len(r.Name) > MaxName {
		return nil, joinError("a request of %d bytes", len(b))
	}
	r.Name = plainName(r.Name)
	return r, nil
}

// plainName makes a name fit to be shown.
func plainName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(name, "\ufffd"))
	for len(name) > MaxName {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	return strings.TrimSpace(name)
}

// answer is a proof for the new device and what it gets besides.
type answer struct {
	proof   *identitykey.Proof
	welcome []byte
}

func (a *answer) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, answerVouched)
	b = compact.AppendBuffer(b, a.proof.AppendTo(nil))
	return compact.AppendBuffer(b, a.welcome)
}

func decodeAnswer(b []byte) (*answer, error) {
	rd := compact.NewReader(b)
	if rd.Uint() == answerRefused && rd.Err() == nil {
		return nil, fault.New(fault.Permission, "the other device does not let this one in")
	}
	proof := rd.Buffer()
	a := &answer{welcome: append([]byte(nil), rd.Buffer()...)}
	if err := rd.Err(); err != nil {
		return nil, joinError("%v", err)
	}
	if b[0] != answerVouched || rd.Len() > 0 || len(a.welcome) > MaxWelcome {
		return nil, joinError("an answer of %d bytes", len(b))
	}
	var err error
	if a.proof, err = identitykey.DecodeProof(proof); err != nil {
		return nil, joinError("%v", err)
	}
	return a, nil
}

// Offer makes the device at the other end of a stream one of the same person. The
// stream has to be encrypted and to end at the right device, as one of
// [handoff.Introduce] does; there is no other check of that. decide is asked before
// anything is signed, and returns what the new device gets besides its proof; an error
// refuses it. Offer returns when the new device has everything; an error after decide
// leaves open whether it has.
//
// [handoff.Introduce]: https://pkg.go.dev/github.com/tradle/cloudpal/internal/handoff
func (i *Identity) Offer(stream io.ReadWriter, decide func(Request) (welcome []byte, err error)) (*Request, error) {
	if i.key == nil {
		return nil, errLocked()
	}
	b, err := readMessage(stream)
	if err != nil {
		return nil, fmt.Errorf("hear of the new device: %w", err)
	}
	r, err := decodeRequest(b)
	if err != nil {
		return nil, err
	}
	welcome, err := decide(*r)
	if err == nil && len(welcome) > MaxWelcome {
		err = fmt.Errorf("a welcome of %d bytes", len(welcome))
	}
	var proof *identitykey.Proof
	if err == nil {
		proof, err = i.AttestDevice(r.Device)
	}
	if err != nil {
		return nil, errors.Join(err, writeMessage(stream, compact.AppendUint(nil, answerRefused)))
	}
	if err := writeMessage(stream, (&answer{proof, welcome}).appendTo(nil)); err != nil {
		return nil, fmt.Errorf("answer the new device: %w", err)
	}
	if b, err = readMessage(stream); err != nil {
		return nil, fmt.Errorf("hear that the new device has its proof: %w", err)
	}
	if len(b) != 0 {
		return nil, joinError("%d bytes instead of none", len(b))
	}
	return r, nil
}

// Newcomer is a device that is about to become one of a person: it has a key, which
// is nowhere stored yet.
type Newcomer struct {
	store      *Store
	secrets    secrets
	name       string
	protection Protection
	passphrase string
}

// Newcomer makes a key for this device. The errors are those of [Store.Check].
func (s *Store) Newcomer(name string, p Protection, passphrase string) (*Newcomer, error) {
	if err := s.Check(p, passphrase); err != nil {
		return nil, err
	}
	return &Newcomer{s, secrets{device: hypercrypto.NewKeyPair()}, plainName(name), p, passphrase}, nil
}

// Request is what another device has to vouch for.
func (n *Newcomer) Request() Request { return Request{n.secrets.device.Public, n.name} }

// Keep makes this device the one of the proof, and returns its identity unlocked.
func (n *Newcomer) Keep(proof *identitykey.Proof) (*Identity, error) {
	if err := proof.VerifyDevice(identitykey.Expectation{Device: &n.secrets.device.Public}); err != nil {
		return nil, fault.New(fault.Unsafe, "the other device does not vouch for this one: %w", err)
	}
	return n.store.create(proof, &n.secrets, n.protection, n.passphrase)
}

// Accept makes this device one of the person at the other end of a stream, which has
// to be as [Identity.Offer] says. It returns the identity, unlocked and kept, and
// what the other device gave besides the proof, after take, unless nil, has kept that.
// When take fails the device belongs to the person nevertheless.
//
// A stream that breaks before there is an identity can be followed by another.
func (n *Newcomer) Accept(stream io.ReadWriter, take func(i *Identity, welcome []byte) error) (*Identity, error) {
	r := n.Request()
	if err := writeMessage(stream, r.appendTo(nil)); err != nil {
		return nil, fmt.Errorf("ask the other device: %w", err)
	}
	b, err := readMessage(stream)
	if err != nil {
		return nil, fmt.Errorf("wait for the other device: %w", err)
	}
	a, err := decodeAnswer(b)
	if err != nil {
		return nil, err
	}
	i, err := n.Keep(a.proof)
	if err != nil {
		return nil, err
	}
	if take != nil {
		if err := take(i, a.welcome); err != nil {
			return i, err
		}
	}
	_ = writeMessage(stream, nil) // if it gets lost the other device does not know
	return i, nil
}

// writeMessage writes a message behind its length, 4 bytes little endian.
func writeMessage(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > maxMessage {
		return nil, joinError("a message of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// joinError is about a device that does not speak as it must.
func joinError(format string, args ...any) error {
	return fault.New(fault.Corrupt, "the other device does not keep to the protocol: %s", fmt.Sprintf(format, args...))
}
