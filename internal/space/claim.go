package space

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// MaxName is the longest name of a space, a person or a device in bytes.
const MaxName = 64

// claim is what a device says of itself to be let in: the logs it writes in this
// space, and a proof whose it is.
//
//	32 log, 32 blob log, 32 box key, uint flags (1: always on),
//	string person's name, string device's name, buffer proof
//
// The device signs, in the proof, the space and all three keys: nobody can claim
// another's log, and a proof is good in one space only.
type claim struct {
	log, blobs hypercrypto.Key
	box        hypercrypto.BoxPublicKey // others seal for the device
	alwaysOn   bool
	personName string // empty if there was no room for it
	deviceName string
	proof      *identitykey.Proof
}

var nsClaim = hypercrypto.Namespace("cloudpal/space", 0)

var errClaim = errors.New("space: not a device's claim")

// signedData is what the device signs. The space is named by what a candidate knows
// of it before it is let in.
func (c *claim) signedData(space hypercrypto.DiscoveryKey) []byte {
	b := append([]byte(nil), nsClaim[:]...)
	b = append(append(b, space[:]...), c.log[:]...)
	return append(append(b, c.blobs[:]...), c.box[:]...)
}

func (c *claim) appendTo(b []byte) []byte {
	b = append(append(append(b, c.log[:]...), c.blobs[:]...), c.box[:]...)
	b = compact.AppendUint(b, flag(c.alwaysOn, 1))
	b = compact.AppendString(b, c.personName)
	b = compact.AppendString(b, c.deviceName)
	return compact.AppendBuffer(b, c.proof.AppendTo(nil))
}

func flag(set bool, f uint64) uint64 {
	if set {
		return f
	}
	return 0
}

// readClaim reads a claim. It checks no signature.
func readClaim(r *compact.Reader) (*claim, error) {
	c := &claim{log: r.Fixed32(), blobs: r.Fixed32(), box: r.Fixed32()}
	c.alwaysOn = r.Uint()&1 != 0
	c.personName, c.deviceName = r.String(), r.String()
	proof := r.Buffer()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errClaim, err)
	}
	if c.personName != "" && !validName(c.personName) || !validName(c.deviceName) {
		return nil, fmt.Errorf("%w: a name", errClaim)
	}
	var err error
	if c.proof, err = identitykey.DecodeProof(proof); err != nil {
		return nil, fmt.Errorf("%w: %w", errClaim, err)
	}
	return c, nil
}

func decodeClaim(b []byte) (*claim, error) {
	r := compact.NewReader(b)
	c, err := readClaim(&r)
	if err == nil && r.Len() > 0 {
		err = fmt.Errorf("%w: %d bytes too many", errClaim, r.Len())
	}
	return c, err
}

// verify checks that the device claims all this for a space.
func (c *claim) verify(space hypercrypto.DiscoveryKey) error {
	return c.proof.VerifyData(c.signedData(space), identitykey.Expectation{})
}

// fit leaves names out until the claim fits into a request for an invite; they are
// told later. It fails for a device that is too many devices away from its person.
func (c *claim) fit() error {
	short := *c
	short.personName, short.deviceName = "", "x"
	room := blindpairing.MaxUserData - len(short.appendTo(nil))
	if room < 0 {
		return fault.New(fault.Usage, "this device was vouched for over %d devices, which is too many", len(c.proof.Chain)).
			Hint("make it one of yours with the recovery phrase")
	}
	c.deviceName = cutName(c.deviceName, room+1)
	if c.deviceName == "" {
		c.deviceName = "x"
	}
	c.personName = cutName(c.personName, max(0, room+1-len(c.deviceName)))
	return nil
}

// cutName returns the longest beginning of a name with at most n bytes.
func cutName(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// called returns how a device is called once it has said its own name: as before, unless
// that is what was left of its own when it was let in.
func (d *device) called(own string) string {
	if d.level != 0 || d.name != "x" && cutName(own, len(d.name)) != d.name {
		return d.name
	}
	return own
}

func validName(s string) bool {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// checkName returns a fault unless s can be a name of what.
func checkName(what, s string) error {
	if validName(s) {
		return nil
	}
	return fault.New(fault.Usage, "%q cannot be the name of a %s", s, what).Hint("a name has 1 to %d bytes and no control characters", MaxName)
}
