package space

import (
	"context"
	"crypto/rand"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
	"github.com/tradle/cloudpal/internal/fault"
)

// Link returns everything that is needed to read the space: it is a secret. Who opens it
// is let in by itself if its person is a member; see [Library.OpenLink].
func (s *Space) Link() string {
	k := link.New(s.Key())
	k.EncryptionKey = s.Record().Encryption
	return k.URL()
}

// OpenLink opens a space by its link. If the person on this device is a member the device
// becomes one; if not it only reads. name is what the space is called here, home says
// whether it is the person's home.
func (l *Library) OpenLink(ctx context.Context, text, name string, home bool) (*Space, error) {
	k, err := link.Parse(text)
	if err != nil {
		return nil, fault.New(fault.Usage, "%w", err)
	}
	if k.EncryptionKey == nil {
		return nil, fault.New(fault.Usage, "the link is none of a space: it has no encryption key")
	}
	if err := checkName("space", name); err != nil {
		return nil, err
	}
	e := hypercrypto.EncryptionKey(*k.EncryptionKey)
	return l.add(ctx, Record{Name: name, Key: k.Key, Encryption: &e, Home: home, namespace: rand.Text()})
}
