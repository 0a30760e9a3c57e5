package space

import (
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/autobase/liar"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// simLiar is somebody who runs no program of ours: a log that says whatever it likes. Of
// all nodes it has seen it names those it wants, the oldest too.
type simLiar struct {
	*human
	w     *simulation
	log   liar.Log
	enc   hypercrypto.BlockEncryption
	n     int // which of the logs
	claim *claim
	told  [][]byte // the log
	heads []autobase.Ref
	wild  bool // keeps to no rule of logs either: soon nobody reads it any more
}

// addLiar lets somebody in who lies, as a viewer or an editor; or not.
func (w *simulation) addLiar() {
	kp := hypercrypto.KeyPairFromSeed(w.seed())
	l := &simLiar{human: w.human("Mal"), w: w, n: len(w.logs), wild: w.one(3)}
	l.log.Own = hypercrypto.DefaultManifest(kp.Public).Key()
	l.log.Value = func(int) []byte { return l.value() }
	for _, other := range w.logs {
		l.log.Keys = append(l.log.Keys, hypercrypto.DefaultManifest(other.Public).Key())
	}
	l.enc = hypercrypto.DefaultEncryption(*w.enc, l.log.Own, false)
	w.logs, w.liar = append(w.logs, kp), l

	dk := w.key.Discovery()
	l.claim = &claim{log: l.log.Own, blobs: hypercrypto.Key{1}, box: hypercrypto.BoxPublicKey{2}, personName: "Mal", deviceName: "mirror"}
	var err error
	l.claim.proof, err = w.badge(l.human).Attest(l.claim.signedData(dk))
	w.must("attest", err)
	if !w.one(4) {
		first := w.devices[0]
		first.invite([]Role{Viewer, Editor, Editor}[w.rng.IntN(3)], 1)
		first.answer(l.claim, w.invites[len(w.invites)-1])
	}
}

// lie tells a device of some new lies.
func (l *simLiar) lie(d *simDevice) {
	w := l.w
	if w.one(2) { // else it goes on from what it named before
		l.heads = d.space.base.Status().Heads
	}
	for range w.rng.IntN(4) {
		n := uint64(len(l.told))
		var b []byte
		if l.wild && w.one(3) {
			for range 256 {
				l.log.Script = append(l.log.Script, byte(w.rng.Uint32()))
			}
			b = l.log.Block(n + 1)
			l.log.Script = nil
		} else {
			b = liar.Node(l.value(), w.one(2), l.after(n)...)
		}
		b = append(make([]byte, l.enc.Padding()), b...)
		w.must("encrypt", l.enc.Encrypt(n, 0, b))
		l.told = append(l.told, b)
	}
	log := d.copy(l.n)
	if n := log.Length(); n < uint64(len(l.told)) {
		_, err := log.Append(w.ctx, l.told[n:]...)
		w.must("lie", err)
		w.must("hint", d.space.base.Hint(w.ctx, log.Key(), log.Length()))
		w.must("update", d.space.Update(w.ctx))
	}
	w.note("device %d hears of %d lies", d.n, len(l.told))
	w.settle()
}

// after returns some of the nodes that it says to have seen, never its own later ones.
func (l *simLiar) after(n uint64) (out []autobase.Ref) {
	for _, h := range l.heads {
		if h.Key != l.log.Own && !l.w.one(4) {
			if l.w.one(8) { // an older one
				h.Length = 1 + l.w.rng.Uint64N(h.Length)
			}
			out = append(out, h)
		}
	}
	if n > 0 {
		out = append(out, autobase.Ref{Key: l.log.Own, Length: n})
	}
	return out
}

// value is an operation that it has no right to, or that is none.
func (l *simLiar) value() []byte {
	w := l.w
	e := envelope{level: 1, time: clock.Of(time.Now()), typ: coreType}
	ada, first, some := w.people[0].key(), w.key, w.some()
	switch w.rng.IntN(12) {
	case 0, 1, 2: // what somebody else wrote, as its own
		e.typ = w.files.Type()
		e.body, _ = pick(w, w.bodies)
	case 3, 4: // changes of what is there
		r, release := some.space.Hold(w.files.Type())
		op := (&simPlan{w: w, made: make(map[string]bool), view: filetree.NewView(r)}).operation(some.badge.key.Public)
		release()
		e.typ = w.files.Type()
		e.body, _ = op.Encode()
	case 5:
		e.body = encodeAction([]action{
			&roleAction{l.key(), Owner}, &roleAction{ada, Viewer}, &removeAction{ada}, &removeDeviceAction{first}, &leaveAction{},
			&setAction{settingName, []byte("mine")}, &setAction{settingLevel, []byte{9}}, &setAction{settingHome, []byte{1}},
			&revokeAction{}, &mirrorAction{l.key(), "m"}, &linkAction{first, []byte{1}}, &renameAction{"Ada"},
		}[w.rng.IntN(12)])
	case 6:
		inv := l.invite()
		e.body = encodeAction(inv)
	case 7: // others' rights
		c := *l.claim
		if w.one(2) {
			c.log = first
		}
		e.body = encodeAction([]action{
			&admitAction{claim: &c}, &createAction{name: "mine", claim: &c}, &indexerAction{0, true, l.log.Own}, &indexerAction{0, false, first},
			&rotateAction{epoch: 1, key: hypercrypto.Hash{1}}, &shareAction{epoch: 1, log: first, box: []byte{1}},
			&recoverAction{claim: &c, system: autobase.Ref{Key: first, Length: 1}, proof: l.claim.proof},
		}[w.rng.IntN(7)])
	case 8: // another time
		e.time = clock.Of(time.Now().Add(time.Duration(w.rng.IntN(100)-50) * 24 * time.Hour))
		e.typ = w.files.Type()
		e.body, _ = pick(w, w.bodies)
	case 9: // nothing that anybody knows
		e.level, e.typ = uint64(w.rng.IntN(3)), []string{coreType, "files", "tables", "No"}[w.rng.IntN(4)]
		e.body = []byte{byte(w.rng.IntN(20)), 1, 2}
	default: // damaged
		e.typ = w.files.Type()
		e.body, _ = pick(w, w.bodies)
		b := e.appendTo(nil)
		b[w.rng.IntN(len(b))] ^= byte(1 + w.rng.IntN(255))
		return b[:1+w.rng.IntN(len(b))]
	}
	return e.appendTo(nil)
}

// invite is one that it makes by itself, to let everybody in.
func (l *simLiar) invite() *inviteAction {
	return &inviteAction{public: hypercrypto.KeyPairFromSeed([32]byte{66}).Public, role: Owner}
}
