package space

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// linkVersion is the first field of what a home keeps of another space: uint version,
// string name, 32 encryption key, uint count, { 32 key of an epoch }.
const linkVersion = 1

// spaceLink is what a device needs to open a space of its person.
type spaceLink struct {
	name       string
	encryption hypercrypto.EncryptionKey
	epochs     []hypercrypto.EncryptionKey
}

func (k *spaceLink) appendTo(b []byte) []byte {
	b = compact.AppendString(compact.AppendUint(b, linkVersion), k.name)
	return appendKeyList(append(b, k.encryption[:]...), k.epochs)
}

func decodeSpaceLink(b []byte) (*spaceLink, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != linkVersion {
		return nil, fmt.Errorf("%w: a link of version %d", errRecord, v)
	}
	k := &spaceLink{name: r.String(), encryption: r.Fixed32()}
	k.epochs = readKeyList(&r)
	if r.Err() == nil && !validName(k.name) {
		r.Fail(errors.New("the name"))
	}
	return finish(&r, "a link", k)
}

var nsLink = hypercrypto.Namespace("cloudpal/space", 2)

// linkKeys seal the links in a home, beside the encryption of the home itself: what can
// read a view by a weakness of that one does not get the keys of all other spaces.
func (s *Space) linkKeys() *hypercrypto.BoxKeyPair {
	k := s.Record().Encryption
	return hypercrypto.BoxKeyPairFromSeed(hypercrypto.Sum(nsLink[:], k[:]))
}

// tendHome keeps the list of spaces of a home and the library the same: spaces that
// came into being here are entered, those that others entered are opened here.
func (w *steward) tendHome(ctx context.Context) error {
	if !w.s.Record().Home {
		return nil
	}
	var errs []error
	for _, r := range w.s.l.unlinked() {
		errs = append(errs, w.s.enterLink(ctx, r))
	}
	links, err := w.s.links(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for key, box := range links {
		if w.s.l.knows(key) {
			continue
		}
		errs = append(errs, w.s.follow(ctx, key, box))
	}
	return errors.Join(append(errs, w.tendLinks(ctx, links))...)
}

// links returns the sealed links of a home.
func (s *Space) links(ctx context.Context) (map[hypercrypto.Key][]byte, error) {
	tree, release := s.snaps.use()
	defer release()
	out := make(map[hypercrypto.Key][]byte)
	for e, err := range tree.Entries(ctx, all(prefixLink)) {
		if err != nil {
			return nil, fmt.Errorf("read spaces of home: %w", err)
		}
		if len(e.Key) == 33 {
			out[hypercrypto.Key(e.Key[1:])] = e.Value
		}
	}
	return out, nil
}

func (s *Space) enterLink(ctx context.Context, r Record) error {
	k := spaceLink{name: r.Name, encryption: *r.Encryption, epochs: s.l.keysIn(r.Key)}
	box := s.linkKeys().Public.Seal(k.appendTo(nil))
	if _, err := s.do(ctx, &linkAction{space: r.Key, box: box}); err != nil {
		return fmt.Errorf("enter space %q in home: %w", r.Name, err)
	}
	return s.l.linked(ctx, r.Key)
}

// follow opens a space that the home has.
func (s *Space) follow(ctx context.Context, key hypercrypto.Key, box []byte) error {
	b, err := s.linkKeys().Open(box)
	if err != nil {
		return fmt.Errorf("open link of space %s: %w", key, err)
	}
	k, err := decodeSpaceLink(b)
	if err != nil {
		return err
	}
	_, err = s.l.add(ctx, Record{Name: k.name, Key: key, Encryption: &k.encryption, Linked: true, namespace: rand.Text(), epochs: k.epochs})
	return err
}

// knows tells whether there is a record of a space, also of a forgotten one.
func (l *Library) knows(key hypercrypto.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed || l.records[key] != nil
}

// unlinked returns the spaces that the home has to learn of.
func (l *Library) unlinked() (list []Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if !r.Home && !r.Linked && !r.Forgotten {
			list = append(list, *r)
		}
	}
	return list
}

// linked notes that the home has a space.
func (l *Library) linked(ctx context.Context, key hypercrypto.Key) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosing()
	}
	r := *l.records[key]
	r.Linked = true
	return l.putLocked(ctx, r)
}
