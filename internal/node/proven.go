package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
)

// provenData is next to the own blob log of a space: an array of 32 mirror, uint Proven,
// uint Failed, each in ms since 1970, 0 for never.
const provenData = "cloudpal/proven"

// proofs is how a mirror stood up to challenges.
type proofs struct {
	mirror hypercrypto.PublicKey
	// Proven is when it last proved that it has what it says; Failed when it did not,
	// zero if that was before.
	Proven, Failed time.Time
}

// provenBy returns what is remembered of a mirror of a space.
func (n *Node) provenBy(s *space.Space, mirror hypercrypto.PublicKey) proofs {
	b, err := s.BlobLog().UserData(provenData)
	if err != nil {
		return proofs{}
	}
	list, err := decodeProofs(b)
	if err != nil {
		return proofs{} // it is only to be proven again
	}
	for _, p := range list {
		if p.mirror == mirror {
			return p
		}
	}
	return proofs{}
}

// remember notes durably whether a mirror proved what it has, now. Those who are no
// mirrors any more are forgotten.
func (n *Node) remember(ctx context.Context, s *space.Space, mirror hypercrypto.PublicKey, ok bool) error {
	mirrors, err := mirrorsOf(ctx, s)
	if err != nil {
		return err
	}
	n.proving.Lock()
	defer n.proving.Unlock()
	var list []proofs
	for _, m := range mirrors {
		p := n.provenBy(s, m)
		p.mirror = m
		if m == mirror && ok {
			p.Proven, p.Failed = time.Now(), time.Time{}
		} else if m == mirror {
			p.Failed = time.Now()
		}
		list = append(list, p)
	}
	if err := s.BlobLog().SetUserData(provenData, encodeProofs(list)); err != nil {
		return fmt.Errorf("remember what a mirror proved: %w", err)
	}
	return nil
}

func encodeProofs(list []proofs) []byte {
	b := compact.AppendUint(nil, uint64(len(list)))
	for _, p := range list {
		b = slices.Concat(b, p.mirror[:])
		b = compact.AppendUint(compact.AppendUint(b, millis(p.Proven)), millis(p.Failed))
	}
	return b
}

func decodeProofs(b []byte) (list []proofs, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := compact.NewReader(b)
	for range r.Count(34) {
		list = append(list, proofs{hypercrypto.PublicKey(r.Fixed32()), fromMillis(r.Uint()), fromMillis(r.Uint())})
	}
	return list, r.Err()
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

func fromMillis(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}
