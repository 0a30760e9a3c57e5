package space

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/link"
)

// maxLinkKeys bounds the keys of epochs in a link. Who comes with a link of a space with
// more gets them from a member.
const maxLinkKeys = 128

// Link returns everything that is needed to read the space, as long as nobody is removed:
// it is a secret. Who opens it is let in by itself if its person is a member; see
// [Library.OpenLink].
func (s *Space) Link() string {
	r := s.Record()
	k := spaceLink{name: r.Name, encryption: *r.Encryption, epochs: s.ring.all()}
	if len(k.epochs) > maxLinkKeys {
		k.epochs = nil
	}
	return link.Format(link.Space, k.appendTo(append([]byte(nil), r.Key[:]...)))
}

// OpenLink opens a space by its link. If the person on this device is a member the device
// becomes one; if not it only reads. name is what the space is called here, empty as where
// the link was made; home says whether it is the person's home.
func (l *Library) OpenLink(ctx context.Context, text, name string, home bool) (*Space, error) {
	b, err := link.Parse(link.Space, text)
	if err != nil {
		return nil, err
	}
	var key hypercrypto.Key
	if copy(key[:], b) < len(key) {
		return nil, link.Damaged(link.Space, errors.New("too short"))
	}
	k, err := decodeSpaceLink(b[len(key):])
	if err != nil {
		return nil, link.Damaged(link.Space, err)
	}
	if name == "" {
		name = k.name
	}
	if err := checkName("space", name); err != nil {
		return nil, err
	}
	return l.add(ctx, Record{Name: name, Key: key, Encryption: &k.encryption, Home: home, namespace: rand.Text(), epochs: k.epochs})
}
