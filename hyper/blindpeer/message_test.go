package blindpeer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// vector is a message of the JavaScript stack.
type vector struct {
	Name, Hex string
	Value     json.RawMessage
}

type jsOrder struct {
	Referrer *string
	Priority uint64
	Announce bool
	Cores    []jsLog
}

type jsLog struct {
	Key    string
	Length uint64
}

type jsRecord struct {
	Key                                               string
	Referrer                                          *string
	Length, BytesAllocated, Updated, Active, Priority uint64
	Announce                                          bool
	BlocksCleared, BytesCleared                       uint64
}

func vectors(t testing.TB) (v struct {
	Cores, RPC, Wakeup []vector
	Capability         struct{ Capability, Topic, HandshakeHash, ByInitiator, ByResponder string }
}) {
	t.Helper()
	b, err := os.ReadFile("testdata/multi-blindpeer.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cores) == 0 || len(v.RPC) == 0 || len(v.Wakeup) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, s string) hypercrypto.Key { return hypercrypto.Key(unhex(t, s)) }

func maybeKey(t testing.TB, s *string) *hypercrypto.Key {
	if s == nil {
		return nil
	}
	k := key(t, *s)
	return &k
}

func into(t testing.TB, raw json.RawMessage, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

func wantBytes(t testing.TB, name string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s: %x, want %s", name, got, want)
	}
}

func TestOrdersAsInJavaScript(t *testing.T) {
	for _, v := range vectors(t).Cores {
		var j jsOrder
		into(t, v.Value, &j)
		want := order{Referrer: maybeKey(t, j.Referrer), Priority: j.Priority, Announce: j.Announce}
		for _, c := range j.Cores {
			want.Logs = append(want.Logs, Log{key(t, c.Key), c.Length})
		}
		wantBytes(t, v.Name, want.appendTo(nil), v.Hex)
		got, err := decodeOrder(unhex(t, v.Hex))
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, v.Name+" again", got.appendTo(nil), v.Hex)
	}
}

func TestCallsAsInJavaScript(t *testing.T) {
	for _, v := range vectors(t).RPC {
		var j jsRecord
		into(t, v.Value, &j)
		switch {
		case strings.HasPrefix(v.Name, "add-core-request"):
			want := addRequest{Key: key(t, j.Key), Referrer: maybeKey(t, j.Referrer), Priority: j.Priority, Announce: j.Announce}
			wantBytes(t, v.Name, want.appendTo(nil), v.Hex)
			got, err := decodeAdd(unhex(t, v.Hex))
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, v.Name+" again", got.appendTo(nil), v.Hex)
		case strings.HasPrefix(v.Name, "add-core response"):
			want := Record{Key: key(t, j.Key), Length: j.Length, Bytes: j.BytesAllocated, Updated: moment(j.Updated), Active: moment(j.Active),
				Priority: j.Priority, Announce: j.Announce, Referrer: maybeKey(t, j.Referrer), BlocksCleared: j.BlocksCleared, BytesCleared: j.BytesCleared}
			wantBytes(t, v.Name, want.appendTo(nil), v.Hex)
			got, err := decodeRecord(unhex(t, v.Hex))
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, v.Name+" again", got.appendTo(nil), v.Hex)
		case v.Name == "delete-core-request":
			got, err := decodeKey(unhex(t, v.Hex))
			if err != nil || got != key(t, j.Key) {
				t.Errorf("%s: %s, %v", v.Name, got, err)
			}
		default:
			t.Errorf("vector %q is not checked", v.Name)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	for _, want := range []*RemoteError{
		{Message: "Unknown method 'x'", Code: codeUnknown},
		{Message: "Request failed", Code: codeFailed, Cause: "Only trusted peers can delete cores"},
		{Message: "Request failed", Code: codeFailed, Cause: "why", CauseCode: "E"},
	} {
		p := reply{ID: 300, Err: want}
		got, err := decodeReply(p.appendTo(nil))
		if err != nil || got.ID != 300 || *got.Err != *want {
			t.Errorf("%+v becomes %+v, %v", want, got.Err, err)
		}
	}
}

func TestWakeupProofAsInJavaScript(t *testing.T) {
	v := vectors(t).Capability
	s := &fixedStream{hash: [64]byte(unhex(t, v.HandshakeHash))}
	base := key(t, v.Capability)
	a, b := wakeupProof(s, base, true), wakeupProof(s, base, false)
	wantBytes(t, "by the initiator", a[:], v.ByInitiator)
	wantBytes(t, "by the responder", b[:], v.ByResponder)
	dk := base.Discovery()
	wantBytes(t, "topic", dk[:], v.Topic)
}

// fixedStream has a handshake hash and nothing else.
type fixedStream struct{ hash [64]byte }

func (s *fixedStream) IsInitiator() bool                      { return true }
func (s *fixedStream) HandshakeHash() [64]byte                { return s.hash }
func (s *fixedStream) RemotePublicKey() hypercrypto.PublicKey { return hypercrypto.PublicKey{} }
func (s *fixedStream) ReadFrame() ([]byte, error)             { return nil, nil }
func (s *fixedStream) WriteFrames([][]byte) error             { return nil }
func (s *fixedStream) Close() error                           { return nil }

// FuzzMessages feeds every decoder: none may panic, and what is read must survive
// being written.
func FuzzMessages(f *testing.F) {
	v := vectors(f)
	for _, list := range [][]vector{v.Cores, v.RPC, v.Wakeup} {
		for _, x := range list {
			f.Add(unhex(f, x.Hex))
		}
	}
	e := entry{Record: Record{Length: 3, Updated: time.UnixMilli(5), BytesCleared: 1}}
	f.Add(e.appendStored(nil))
	p := reply{ID: 1, Err: &RemoteError{Message: "m", Code: "c", Cause: "d"}}
	f.Add(p.appendTo(nil))
	q := call{ID: 1, Method: methodAdd, Value: []byte{1}}
	f.Add(q.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := decodeOrder(b); err == nil {
			if len(o.Logs) > maxPerOrder {
				t.Errorf("%d logs", len(o.Logs))
			}
			again(t, o.appendTo(nil), func(b []byte) ([]byte, error) { o, err := decodeOrder(b); return o.appendTo(nil), err })
		}
		if a, err := decodeAdd(b); err == nil {
			again(t, a.appendTo(nil), func(b []byte) ([]byte, error) { a, err := decodeAdd(b); return a.appendTo(nil), err })
		}
		if r, err := decodeRecord(b); err == nil {
			again(t, r.appendTo(nil), func(b []byte) ([]byte, error) { r, err := decodeRecord(b); return r.appendTo(nil), err })
		}
		if e, err := decodeStored(b); err == nil {
			again(t, e.appendStored(nil), func(b []byte) ([]byte, error) { e, err := decodeStored(b); return e.appendStored(nil), err })
		}
		if c, err := decodeCall(b); err == nil {
			again(t, c.appendTo(nil), func(b []byte) ([]byte, error) { c, err := decodeCall(b); return c.appendTo(nil), err })
		}
		if p, err := decodeReply(b); err == nil && (p.Err == nil || p.Err.Code != "") {
			again(t, p.appendTo(nil), func(b []byte) ([]byte, error) { p, err := decodeReply(b); return p.appendTo(nil), err })
		}
		if _, err := decodeKey(b); err != nil && len(b) >= 32 {
			t.Error(err)
		}
		r := compact.NewReader(b)
		if logs := readLogs(&r, maxPerOrder); r.Err() != nil && logs != nil {
			t.Error("logs in spite of an error")
		}
	})
}

func again(t *testing.T, b []byte, recode func([]byte) ([]byte, error)) {
	t.Helper()
	c, err := recode(b)
	if err != nil || !bytes.Equal(b, c) {
		t.Errorf("%x becomes %x: %v", b, c, err)
	}
}
