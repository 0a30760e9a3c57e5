package merkle

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// A Verifier checks proofs for one core.
type Verifier struct {
	Key hypercrypto.Key
	// Rules are the core's signers. Nil while the manifest is unknown: then it
	// has to come with the first upgrade, or the key is a public key.
	Rules *hypercrypto.Verifier
}

// Change is what a checked proof adds to a log.
type Change struct {
	// Nodes are to be stored, replacing stored ones with the same index: where
	// a size differs, the new one is the true one.
	Nodes []Node

	// loose holds one node of each pair of siblings in Nodes whose sizes are
	// covered as a sum only.
	loose []uint64
	// tail tells, while an upgrade is applied, that the last root came by hash
	// in the same upgrade.
	tail bool

	// Upgraded tells that Tree is a new signed state, with Signature. Otherwise
	// Tree is the state that the proof was checked against. Signature is the
	// proof's: it lives as long as the message that the proof came in.
	Upgraded  bool
	Tree      Tree
	Signature []byte
	// Rules is set when the proof brought a manifest that was not known.
	Rules *hypercrypto.Verifier
}

// Verify checks a proof against the log in state t, whose nodes r holds. It
// covers proofs on the fork of t; for higher ones see [Verifier.Reorg].
//
// An upgrade that does not reach beyond t has no effect: what it says is not
// looked at. Errors wrap [ErrOperation], [ErrChecksum], [ErrSignature] or
// [ErrProof], or come from r.
func (v *Verifier) Verify(t *Tree, r Reader, p *Proof) (*Change, error) {
	if p.Fork != t.Fork {
		return nil, fmt.Errorf("%w: fork %d, not %d", ErrOperation, p.Fork, t.Fork)
	}
	c := &Change{Tree: *t}
	rules, err := v.rules(p)
	if err != nil {
		return nil, err
	}
	if rules != v.Rules && !rules.Compat() {
		c.Rules = rules // the key is the manifest's hash
	}
	top, err := parts(p, c)
	if err != nil {
		return nil, err
	}
	if p.Upgrade != nil {
		grown := t.Clone()
		consumed, err := applyUpgrade(&grown, rules, p.Upgrade, top, c)
		if err != nil {
			return nil, err
		}
		if consumed {
			top = nil
		}
		if grown.Length > t.Length {
			if !v.signed(rules, &grown, p.Upgrade.Signature) {
				return nil, ErrSignature
			}
			if v.Rules == nil {
				c.Rules = rules // a compat core is proven by its signature
			}
			c.Tree, c.Signature, c.Upgraded = grown, p.Upgrade.Signature, true
		}
	}
	if top != nil {
		var inside Reader = within{r, 2 * t.Length}
		if err := c.anchor(inside, top); err != nil {
			return nil, err
		}
		if err := c.settle(inside); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// rules returns what signatures are checked by: the known rules or those of the
// manifest that came along.
func (v *Verifier) rules(p *Proof) (*hypercrypto.Verifier, error) {
	if p.Manifest != nil {
		if v.Rules != nil && !v.Rules.Compat() && p.Manifest.Equal(v.Rules.Manifest()) {
			return v.Rules, nil
		}
		rules, err := hypercrypto.NewVerifier(v.Key, p.Manifest)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrChecksum, err)
		}
		if v.Rules == nil && !rules.Compat() {
			return rules, nil
		}
	}
	if v.Rules != nil {
		return v.Rules, nil
	}
	// Nothing but the public key counts in the manifest of a compat core, so what
	// a peer sends in the other fields is not kept.
	return hypercrypto.NewVerifier(v.Key, nil)
}

// Signed tells whether signature makes t a valid state of the core. Rules must
// be known.
func (v *Verifier) Signed(t *Tree, signature []byte) bool {
	return v.Rules != nil && v.signed(v.Rules, t, signature)
}

func (v *Verifier) signed(rules *hypercrypto.Verifier, t *Tree, signature []byte) bool {
	return rules.Verify(t.State(), signature, t.patch)
}
