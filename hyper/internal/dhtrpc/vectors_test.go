package dhtrpc

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"testing"
)

type vectorAddr struct {
	Host string
	Port uint16
}

func (a vectorAddr) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(a.Host), a.Port)
}

type vectorPacket struct {
	To      vectorAddr
	Hex     string
	Decoded struct {
		Type                     string
		Flags                    byte
		TID                      uint16
		To                       vectorAddr
		ID, Token, Target, Value *string
		Internal                 bool
		Command, Error           uint64
		CloserNodes              []vectorAddr
	}
}

type vectorFile struct {
	ServerID string
	Secrets  [2]string
	TokenFor struct{ Host, Token string }
	Cases    []struct {
		Name     string
		From     vectorAddr
		Request  vectorPacket
		Response *vectorPacket
	}
	RequestWithID vectorPacket `json:"requestWithId"`
}

func loadVectors(t testing.TB) *vectorFile {
	t.Helper()
	b, err := os.ReadFile("testdata/net-dht-rpc.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectorPackets(t testing.TB) (packets [][]byte) {
	v := loadVectors(t)
	for _, c := range v.Cases {
		packets = append(packets, unhex(t, c.Request.Hex))
		if c.Response != nil {
			packets = append(packets, unhex(t, c.Response.Hex))
		}
	}
	return append(packets, unhex(t, v.RequestWithID.Hex))
}

func (p *vectorPacket) check(t *testing.T) {
	t.Helper()
	raw := unhex(t, p.Hex)
	var m message
	if err := m.decode(raw); err != nil {
		t.Fatalf("%s: %v", p.Hex, err)
	}
	if got := hex.EncodeToString(m.appendTo(nil)); got != p.Hex {
		t.Errorf("encoded %s\nwant    %s", got, p.Hex)
	}
	d := &p.Decoded
	same := func(name string, want *string, got []byte) {
		if (want != nil) != (got != nil) || want != nil && *want != hex.EncodeToString(got) {
			t.Errorf("%s: %x", name, got)
		}
	}
	optional := func(p *[32]byte) []byte {
		if p == nil {
			return nil
		}
		return p[:]
	}
	same("id", d.ID, optional((*[32]byte)(m.id)))
	same("token", d.Token, optional(m.token))
	same("target", d.Target, optional((*[32]byte)(m.target)))
	same("value", d.Value, m.value)
	if m.response != (d.Type == "response") || m.tid != d.TID || m.to != d.To.addr() || m.internal != d.Internal ||
		m.command != d.Command || m.code != d.Error || len(m.closer) != len(d.CloserNodes) || raw[1] != d.Flags {
		t.Errorf("%s decodes to %+v", p.Hex, m)
	}
	for i, a := range d.CloserNodes {
		if m.closer[i] != a.addr() {
			t.Errorf("closer node %d is %v", i, m.closer[i])
		}
	}
}

func TestPacketVectors(t *testing.T) {
	v := loadVectors(t)
	for _, c := range v.Cases {
		t.Run(c.Name, func(t *testing.T) {
			c.Request.check(t)
			if c.Response != nil {
				c.Response.check(t)
			}
		})
	}
	v.RequestWithID.check(t)
}

func TestTokenVector(t *testing.T) {
	v := loadVectors(t)
	s := tokens{secrets: [2][32]byte{[32]byte(unhex(t, v.Secrets[0])), [32]byte(unhex(t, v.Secrets[1]))}}
	if got := s.token(netip.MustParseAddr(v.TokenFor.Host), 1); hex.EncodeToString(got[:]) != v.TokenFor.Token {
		t.Errorf("token %x", got)
	}
	if id := NodeID(netip.MustParseAddrPort("10.0.0.1:49737")); hex.EncodeToString(id[:]) != v.ServerID {
		t.Errorf("id %x", id)
	}
}
