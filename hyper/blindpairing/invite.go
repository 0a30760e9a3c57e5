package blindpairing

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrInvite is the error of bytes or a text that are no invite.
var ErrInvite = errors.New("blindpairing: not an invite")

const inviteVersion = 1

// Flags of an invite.
const (
	hasDiscoveryKey = 1 << iota
	hasExpiry
	isSensitive
	isTest
	hasNodes
)

// maxNodes bounds the nodes in an invite.
const maxNodes = 16

// Invite is what the inviting side gives to the candidate.
//
//	uint version (1), uint flags, 32 seed,
//	[1: 32 discovery key] [2: u32 seconds] [16: uint count, { 4 address, u16 port } …]
//
// Flag 4 is Sensitive, 8 is Test.
type Invite struct {
	// Seed is the secret. All keys of the invite follow from it.
	Seed [32]byte
	// DiscoveryKey is that of the log. It tells where the two sides meet.
	DiscoveryKey hypercrypto.DiscoveryKey
	// Expires is when the member means to refuse, in whole seconds. Zero: never.
	Expires time.Time
	// Sensitive asks the candidate's program to be careful about showing the invite.
	Sensitive bool
	// Test marks invites of tests.
	Test bool
	// Nodes are nodes of the network through which the member may be found.
	// Addresses that mean nothing elsewhere are left out when it is encoded.
	Nodes []netip.AddrPort
}

// NewInvite makes an invite to the log with the given key.
func NewInvite(key hypercrypto.Key) *Invite {
	i := &Invite{DiscoveryKey: key.Discovery()}
	rand.Read(i.Seed[:]) // never fails
	return i
}

// KeyPair is the key pair of the invite. A member keeps its public half.
func (i *Invite) KeyPair() *hypercrypto.KeyPair { return hypercrypto.KeyPairFromSeed(i.Seed) }

// ID names the invite without giving anything away. Requests carry it.
func (i *Invite) ID() hypercrypto.Hash { return InviteID(i.KeyPair().Public) }

// InviteID is the ID of the invite with that public key.
func InviteID(invite hypercrypto.PublicKey) hypercrypto.Hash {
	return hypercrypto.Sum(nsInviteID[:], invite[:])
}

// SignData signs data that the member's answer hands to the candidate, who
// checks that it was attached to the invite when that was made.
func (i *Invite) SignData(data []byte) *Additional {
	return &Additional{Data: data, Signature: i.KeyPair().Sign(data)}
}

// AppendTo appends the encoded invite.
func (i *Invite) AppendTo(b []byte) []byte {
	var nodes []netip.AddrPort
	for _, n := range i.Nodes {
		if public(n) && len(nodes) < maxNodes {
			nodes = append(nodes, n)
		}
	}
	flags := uint64(hasDiscoveryKey)
	if !i.Expires.IsZero() {
		flags |= hasExpiry
	}
	if i.Sensitive {
		flags |= isSensitive
	}
	if i.Test {
		flags |= isTest
	}
	if len(nodes) > 0 {
		flags |= hasNodes
	}
	b = compact.AppendUint(b, inviteVersion)
	b = compact.AppendUint(b, flags)
	b = append(append(b, i.Seed[:]...), i.DiscoveryKey[:]...)
	if flags&hasExpiry != 0 {
		b = compact.AppendUint32(b, uint32(max(0, min(i.Expires.Unix(), 1<<32-1))))
	}
	if flags&hasNodes != 0 {
		b = compact.AppendUint(b, uint64(len(nodes)))
		for _, n := range nodes {
			b = compact.AppendIPv4Address(b, n)
		}
	}
	return b
}

// public tells whether a node's address may mean something to others.
func public(n netip.AddrPort) bool {
	a := n.Addr().Unmap()
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() && n.Port() != 0
}

// DecodeInvite reads an invite. The error wraps [ErrInvite].
func DecodeInvite(b []byte) (*Invite, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != inviteVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrInvite, v)
	}
	flags := r.Uint()
	i := &Invite{Seed: r.Fixed32(), Sensitive: flags&isSensitive != 0, Test: flags&isTest != 0}
	if flags&hasDiscoveryKey == 0 {
		return nil, fmt.Errorf("%w: it does not say where to go", ErrInvite)
	}
	i.DiscoveryKey = r.Fixed32()
	if flags&hasExpiry != 0 {
		i.Expires = time.Unix(int64(r.Uint32()), 0)
	}
	if flags&hasNodes != 0 {
		n := r.Count(6)
		if n > maxNodes {
			return nil, fmt.Errorf("%w: %d nodes", ErrInvite, n)
		}
		for range n {
			i.Nodes = append(i.Nodes, r.IPv4Address())
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	return i, nil
}

// Text returns the invite in z-base-32. It is a secret, so it is not called
// String.
func (i *Invite) Text() string { return hypercrypto.EncodeZ32(i.AppendTo(nil)) }

// String names the invite by its ID, which is no secret.
func (i *Invite) String() string { return "invite " + i.ID().String() }

// GoString is String.
func (i *Invite) GoString() string { return i.String() }

// ParseInvite reads what Text wrote; case and space around it do not matter. The
// error wraps [ErrInvite].
func ParseInvite(text string) (*Invite, error) {
	b, err := hypercrypto.DecodeZ32(strings.ToLower(strings.TrimSpace(text)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	return DecodeInvite(b)
}
