package dhtrelay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// codec is a message in both directions.
type codec interface {
	message
	decoder
}

// codecs makes an empty message of each type.
var codecs = [typeCount]func() codec{
	typeHandshake:      func() codec { return new(handshake) },
	typePing:           func() codec { return new(empty) },
	typePong:           func() codec { return new(empty) },
	typeConnect:        func() codec { return new(connect) },
	typeConnection:     func() codec { return new(connection) },
	typeConnected:      func() codec { return new(connected) },
	typeIncoming:       func() codec { return new(incoming) },
	typeDeny:           func() codec { return new(number) },
	typeAccept:         func() codec { return new(number) },
	typeDestroy:        func() codec { return new(destroy) },
	typeListen:         func() codec { return new(listen) },
	typeListening:      func() codec { return new(listening) },
	typeClose:          func() codec { return new(number) },
	typeClosed:         func() codec { return new(number) },
	typeOpen:           func() codec { return new(open) },
	typeEnd:            func() codec { return new(number) },
	typeData:           func() codec { return new(data) },
	typeResult:         func() codec { return new(result) },
	typeFinished:       func() codec { return new(number) },
	typeLookup:         func() codec { return new(lookup) },
	typeAnnounce:       func() codec { return new(announce) },
	typeUnannounce:     func() codec { return new(announce) },
	typeSignAnnounce:   func() codec { return new(sign) },
	typeSignUnannounce: func() codec { return new(sign) },
	typeSignature:      func() codec { return new(signature) },
	typeNoiseSend:      func() codec { return new(noiseSend) },
	typeNoiseReceive:   func() codec { return new(noiseReceive) },
	typeNoiseReply:     func() codec { return new(noiseReply) },
}

type vectors struct {
	Protocol     string
	MessageOrder []string
	Messages     []struct {
		Index   int
		Name    string
		Decoded map[string]any
		Encoded string
	}
	Sessions map[string][]struct{ Dir, Hex string }
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/net-dht-relay.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
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

// fields describes a message in the words of the vectors.
func fields(m codec) map[string]any {
	f := map[string]any{}
	num := func(name string, n alias) { f[name] = float64(n) }
	bin := func(name string, b []byte) { f[name] = hex.EncodeToString(b) }
	addr := func(a interface{ String() string }) string { return a.String() }
	key := func(i identity) {
		f["custodial"] = i.secret != nil
		bin("publicKey", i.public[:])
		if i.secret != nil {
			bin("secretKey", i.secret)
		}
	}
	from := func(o origin) {
		if f["custodial"] = o.hash != nil; o.hash != nil {
			bin("handshakeHash", o.hash[:])
		} else {
			num("handshakeId", o.id)
		}
	}
	switch m := m.(type) {
	case *handshake:
		key(m.identity)
	case *connect:
		key(m.key)
		num("alias", m.alias)
		bin("remotePublicKey", m.remote[:])
	case *connection:
		from(m.from)
		num("alias", m.alias)
		num("serverAlias", m.server)
		bin("remotePublicKey", m.remote[:])
	case *connected:
		num("alias", m.alias)
		num("remoteAlias", m.remote)
	case *incoming:
		num("id", m.id)
		num("serverAlias", m.server)
		bin("remotePublicKey", m.remote[:])
		bin("payload", m.payload)
	case *destroy:
		if f["paired"] = m.paired; m.paired {
			num("alias", m.alias)
		} else {
			num("remoteAlias", m.alias)
		}
		if m.err != "" {
			f["error"] = m.err
		}
	case *listen:
		key(m.key)
		num("alias", m.alias)
	case *listening:
		num("alias", m.alias)
		num("remoteAlias", m.remote)
		f["host"], f["port"] = addr(m.addr.Addr()), float64(m.addr.Port())
	case *open:
		from(m.from)
		num("alias", m.alias)
		num("remoteAlias", m.remote)
	case *data:
		num("alias", m.alias)
		r := compact.NewReader(m.pieces)
		all := []any{}
		for range r.Count(1) {
			all = append(all, hex.EncodeToString(r.Buffer()))
		}
		f["data"] = all
	case *result:
		num("id", m.id)
		bin("data", m.data)
	case *lookup:
		num("id", m.id)
		bin("topic", m.topic[:])
	case *announce:
		key(m.key)
		num("id", m.id)
		bin("topic", m.topic[:])
	case *sign:
		num("id", m.id)
		num("signee", m.signee)
		bin("token", m.token[:])
		bin("peerId", m.node)
		all := []any{}
		for _, a := range m.relays {
			all = append(all, map[string]any{"host": addr(a.Addr()), "port": float64(a.Port())})
		}
		f["relayAddresses"] = all
	case *signature:
		num("id", m.id)
		bin("signature", m.signature)
	case *noiseSend:
		f["isInitiator"] = m.initiator
		num("id", m.id)
		if m.initiator {
			num("remoteStreamAlias", m.stream)
		}
		bin("payload", m.payload)
	case *noiseReceive:
		f["isInitiator"] = m.initiator
		num("id", m.id)
		if !m.initiator {
			num("serverAlias", m.server)
		}
		bin("payload", m.message)
	case *noiseReply:
		f["isInitiator"], f["complete"] = m.initiator, m.complete
		num("id", m.id)
		bin("payload", m.payload)
		if m.complete {
			bin("remoteId", m.streamID[:])
			bin("holepunchSecret", m.holepunchSecret[:])
		} else if !m.initiator {
			bin("remotePublicKey", m.remote[:])
		}
	}
	return f
}

func TestMessagesAreThoseOfTheReference(t *testing.T) {
	v := readVectors(t)
	if v.Protocol != protocol {
		t.Errorf("protocol %q", v.Protocol)
	}
	order := []string{"handshake", "ping", "pong", "connect", "connection", "connected", "incoming", "deny", "accept", "destroy", "listen",
		"listening", "close", "closed", "open", "end", "data", "result", "finished", "lookup", "announce", "unannounce", "signAnnounce",
		"signUnannounce", "signature", "noiseSend", "noiseReceive", "noiseReply"}
	if !slices.Equal(v.MessageOrder, order) || len(order) != typeCount {
		t.Errorf("message order %v", v.MessageOrder)
	}
	for _, m := range v.Messages {
		body := unhex(t, m.Encoded)
		got := codecs[m.Index]()
		if err := unmarshal(body, got); err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if b := got.appendTo(nil); !bytes.Equal(b, body) {
			t.Errorf("%s: encoded as %x instead of %x", m.Name, b, body)
		}
		f := fields(got)
		if n, ok := got.(*number); ok {
			name := "id"
			if _, ok := m.Decoded["alias"]; ok {
				name = "alias"
			}
			f = map[string]any{name: float64(n.alias)}
		}
		if !reflect.DeepEqual(f, m.Decoded) {
			t.Errorf("%s: decoded as %v instead of %v", m.Name, f, m.Decoded)
		}
		for n := range body {
			if err := unmarshal(body[:n], codecs[m.Index]()); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", m.Name, n, len(body))
			}
		}
	}
}

func TestResultsAreThoseOfTheReference(t *testing.T) {
	for _, m := range readVectors(t).Messages {
		if m.Name != "result" {
			continue
		}
		body := unhex(t, m.Decoded["data"].(string))
		var r Reply
		if err := unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		if b := r.appendTo(nil); !bytes.Equal(b, body) {
			t.Errorf("encoded as %x instead of %x", b, body)
		}
		if r.From.ID == nil || r.From.Addr.String() != "1.2.3.4:5" || r.To.ID != nil || r.To.Addr.String() != "6.7.8.9:10" ||
			len(r.Peers) != 1 || r.Peers[0].PublicKey != (hypercrypto.PublicKey(bytes.Repeat([]byte{7}, 32))) {
			t.Errorf("decoded as %+v", r)
		}
	}
}

// The frames of the recorded sessions, as far as they were recorded.
func TestRecordedSessionsAreUnderstood(t *testing.T) {
	for name, frames := range readVectors(t).Sessions {
		for i, f := range frames {
			b := unhex(t, f.Hex)
			r := compact.NewReader(b)
			channel, typ := r.Uint(), r.Uint()
			if channel == 0 {
				if typ != 1 || r.Uint() != 1 || r.String() != protocol {
					t.Errorf("%s %d: not the open of the channel", name, i)
				}
				continue
			}
			m := codecs[typ]()
			body := r.Raw()
			if len(b) == 200 {
				continue // cut
			}
			if err := unmarshal(body, m); err != nil {
				t.Errorf("%s %d: %v", name, i, err)
			} else if got := m.appendTo(nil); !bytes.Equal(got, body) {
				t.Errorf("%s %d: encoded as %x instead of %x", name, i, got, body)
			}
		}
	}
}

func FuzzMessages(f *testing.F) {
	v := readVectors(f)
	for _, m := range v.Messages {
		f.Add(uint8(m.Index), unhex(f, m.Encoded))
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		m := codecs[int(typ)%typeCount]()
		if unmarshal(body, m) != nil {
			return
		}
		b := m.appendTo(nil)
		again := codecs[int(typ)%typeCount]()
		if err := unmarshal(b, again); err != nil {
			t.Fatalf("%T: own encoding is refused: %v", m, err)
		}
		if got := again.appendTo(nil); !bytes.Equal(got, b) {
			t.Fatalf("%T: encoded as %x, then as %x", m, b, got)
		}
		if d, ok := m.(*data); ok {
			size := 0
			for p := range d.pieces.all() {
				size += len(p)
			}
			if size > len(body) {
				t.Fatalf("pieces of %d bytes in a body of %d", size, len(body))
			}
		}
	})
}

func FuzzReplies(f *testing.F) {
	for _, m := range readVectors(f).Messages {
		if m.Name == "result" {
			f.Add(unhex(f, m.Decoded["data"].(string)))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r, again Reply
		if unmarshal(body, &r) != nil {
			return
		}
		b := r.appendTo(nil)
		if err := unmarshal(b, &again); err != nil {
			t.Fatalf("own encoding is refused: %v", err)
		}
		if got := again.appendTo(nil); !bytes.Equal(got, b) {
			t.Fatalf("encoded as %x, then as %x", b, got)
		}
	})
}
