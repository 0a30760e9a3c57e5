package dhtrpc

import (
	"crypto/rand"
	"crypto/subtle"
	"net/netip"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// tokenTurn is the time between two changes of the secrets. A token lives
// between one and two turns.
const tokenTurn = 7500 * time.Millisecond

// tokens makes and checks the tokens that prove that a requester receives what
// is sent to its address. The zero value is ready to use.
type tokens struct {
	secrets [2][32]byte
	turned  time.Time // zero: no secrets yet
}

func (t *tokens) refresh(now time.Time) {
	turns := int64(0)
	if !t.turned.IsZero() {
		turns = int64(now.Sub(t.turned) / tokenTurn)
	}
	switch {
	case t.turned.IsZero() || turns > 2 || turns < 0:
		// All tokens given out are dead.
		rand.Read(t.secrets[0][:])
		rand.Read(t.secrets[1][:])
		t.turned = now
	case turns > 0:
		for range turns {
			old := t.secrets[0]
			t.secrets[0] = t.secrets[1]
			t.secrets[1] = hypercrypto.Sum(old[:])
		}
		t.turned = t.turned.Add(time.Duration(turns) * tokenTurn)
	}
}

func (t *tokens) token(addr netip.Addr, secret int) [32]byte {
	var text [15]byte
	return hypercrypto.KeyedSum(t.secrets[secret][:], addr.AppendTo(text[:0]))
}

// make returns the token for an address.
func (t *tokens) make(now time.Time, addr netip.Addr) [32]byte {
	t.refresh(now)
	return t.token(addr, 1)
}

// valid tells whether token was made for addr not long ago.
func (t *tokens) valid(now time.Time, addr netip.Addr, token *[32]byte) bool {
	t.refresh(now)
	for i := len(t.secrets) - 1; i >= 0; i-- {
		want := t.token(addr, i)
		if subtle.ConstantTimeCompare(want[:], token[:]) == 1 {
			return true
		}
	}
	return false
}
