package space

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// welcomeVersion is the first field of what a device gives to another one of its
// person: uint version, uint flags (1: home), 32 key, link as in a home.
const welcomeVersion = 1

// Link returns what another device of the person needs to open the space. It is a
// secret.
func (s *Space) Link() []byte {
	r := s.Record()
	b := compact.AppendUint(compact.AppendUint(nil, welcomeVersion), flag(r.Home, 1))
	b = append(b, r.Key[:]...)
	k := spaceLink{name: r.Name, encryption: *r.Encryption}
	return k.appendTo(b)
}

// Enter opens a space by what [Space.Link] returned on another device of the person.
// This device becomes a member by itself when it hears from one.
func (l *Library) Enter(ctx context.Context, link []byte) (*Space, error) {
	r := compact.NewReader(link)
	if v := r.Uint(); r.Err() == nil && v != welcomeVersion {
		return nil, fault.New(fault.Usage, "the other device speaks version %d of the protocol", v).Hint("use the same version of cloudpal on both")
	}
	home, key := r.Uint()&1 != 0, hypercrypto.Key(r.Fixed32())
	if err := r.Err(); err != nil {
		return nil, fault.New(fault.Corrupt, "what the other device gave is no space: %w", err)
	}
	k, err := decodeSpaceLink(link[len(link)-r.Len():])
	if err != nil {
		return nil, fault.New(fault.Corrupt, "what the other device gave is no space: %w", err)
	}
	return l.add(ctx, Record{Name: k.name, Key: key, Encryption: &k.encryption, Home: home, namespace: rand.Text()})
}

// String keeps the keys of a record out of logs.
func (r Record) String() string { return fmt.Sprintf("space %q", r.Name) }

// GoString is String.
func (r Record) GoString() string { return r.String() }
