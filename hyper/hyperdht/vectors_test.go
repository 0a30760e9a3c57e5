package hyperdht

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/internal/noise"
)

type addrJSON struct {
	Host string
	Port uint16
}

func (a *addrJSON) addr() netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.MustParseAddr(a.Host), a.Port)
}

func addrsOf(list []addrJSON) (out []netip.AddrPort) {
	for _, a := range list {
		out = append(out, a.addr())
	}
	return out
}

func load(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equalHex(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s is %x\nwant %s", what, got, want)
	}
}

type announceVector struct {
	Target, NodeID, Token, PublicKey                    string
	RelayAddresses                                      []addrJSON
	Refresh                                             *string
	Bump                                                uint64
	Hash, AnnounceSignable, AnnounceSignature           string
	AnnounceValue, UnannounceSignature, UnannounceValue string
}

type hyperdhtVectors struct {
	Commands   map[string]uint64
	Namespaces map[string]string
	NodeIDs    []struct {
		Host, ID string
		Port     uint16
	} `json:"nodeIds"`
	KeyPair struct{ Seed, PublicKey, SelfTarget string }
	Peer    struct {
		Decoded struct {
			PublicKey      string
			RelayAddresses []addrJSON
		}
		Encoded string
	}
	LookupReply struct {
		Peers   int
		Bump    uint64
		Encoded string
	}
	Announces                []announceVector
	RefreshOnlyAnnounceValue string
	Mutables                 []struct {
		Seq                                                                     uint64
		Value, PublicKey, Target, EncodedForHash, Signable, Signature, PutValue string
		GetRequestValue, GetResponseValue                                       string
	}
	Immutable struct{ Value, Target string }
	Address   struct {
		Key                     string
		Nodes                   []addrJSON
		Encoded, EncodedNoNodes string
	}
}

func TestRecordVectors(t *testing.T) {
	var v hyperdhtVectors
	load(t, "net-hyperdht.json", &v)
	for name, want := range map[string]uint64{"PEER_HANDSHAKE": cmdHandshake, "PEER_HOLEPUNCH": cmdHolepunch, "FIND_PEER": cmdFindPeer,
		"LOOKUP": cmdLookup, "ANNOUNCE": cmdAnnounce, "UNANNOUNCE": cmdUnannounce, "MUTABLE_PUT": cmdMutablePut,
		"MUTABLE_GET": cmdMutableGet, "IMMUTABLE_PUT": cmdImmutablePut, "IMMUTABLE_GET": cmdImmutableGet} {
		if v.Commands[name] != want {
			t.Errorf("%s is %d", name, v.Commands[name])
		}
	}
	for name, ns := range map[string]hypercrypto.Hash{"ANNOUNCE": nsAnnounce, "UNANNOUNCE": nsUnannounce, "MUTABLE_PUT": nsMutablePut,
		"PEER_HANDSHAKE": nsHandshake, "PEER_HOLEPUNCH": nsHolepunch} {
		equalHex(t, name, ns[:], v.Namespaces[name])
	}
	for _, n := range v.NodeIDs {
		id := dhtrpc.NodeID(netip.AddrPortFrom(netip.MustParseAddr(n.Host), n.Port))
		equalHex(t, "node id", id[:], n.ID)
	}
	kp := hypercrypto.KeyPairFromSeed([32]byte(unhex(t, v.KeyPair.Seed)))
	target := targetOf(kp.Public)
	equalHex(t, "target", target[:], v.KeyPair.SelfTarget)

	p := Peer{PublicKey: kp.Public, Relays: addrsOf(v.Peer.Decoded.RelayAddresses)}
	equalHex(t, "peer", p.appendTo(nil), v.Peer.Encoded)
	peers, bump, err := decodeLookup(unhex(t, v.LookupReply.Encoded))
	if err != nil || len(peers) != v.LookupReply.Peers || bump != v.LookupReply.Bump || peers[0].PublicKey != kp.Public {
		t.Errorf("lookup reply: %+v %d %v", peers, bump, err)
	}
	for _, a := range v.Announces {
		checkAnnounce(t, kp, &a)
	}
	refresh, err := decodeAnnouncement(unhex(t, v.RefreshOnlyAnnounceValue))
	if err != nil || refresh.peer != nil || refresh.refresh == nil {
		t.Errorf("refresh: %+v %v", refresh, err)
	}
	for _, m := range v.Mutables {
		value := unhex(t, m.Value)
		equalHex(t, "signable", mutableSignable(m.Seq, value), m.Signable)
		out := mutable{m.Seq, value, kp.Sign(mutableSignable(m.Seq, value))}
		equalHex(t, "signature", out.signature[:], m.Signature)
		equalHex(t, "mutable", out.appendTo(nil), m.GetResponseValue)
		equalHex(t, "mutable put", out.appendTo(append([]byte(nil), kp.Public[:]...)), m.PutValue)
		r := compact.NewReader(unhex(t, m.GetResponseValue))
		if in := readMutable(&r); r.Err() != nil || !in.verify(kp.Public) || in.seq != m.Seq || !bytes.Equal(in.value, value) {
			t.Errorf("mutable: %+v %v", in, r.Err())
		}
	}
	h := hypercrypto.Sum(unhex(t, v.Immutable.Value))
	equalHex(t, "immutable", h[:], v.Immutable.Target)
	addr := Address{PublicKey: hypercrypto.PublicKey(unhex(t, v.Address.Key)), Nodes: addrsOf(v.Address.Nodes)}
	equalHex(t, "address", addr.AppendTo(nil), v.Address.Encoded)
	if got, err := DecodeAddress(unhex(t, v.Address.Encoded)); err != nil || len(got.Nodes) != len(addr.Nodes) || got.PublicKey != addr.PublicKey {
		t.Errorf("address %+v %v", got, err)
	}
	addr.Nodes = nil
	equalHex(t, "address", addr.AppendTo(nil), v.Address.EncodedNoNodes)
}

func checkAnnounce(t *testing.T, kp *hypercrypto.KeyPair, a *announceVector) {
	t.Helper()
	target, node, token := dhtrpc.ID(unhex(t, a.Target)), dhtrpc.ID(unhex(t, a.NodeID)), [32]byte(unhex(t, a.Token))
	ann := announcement{peer: &Peer{PublicKey: kp.Public, Relays: addrsOf(a.RelayAddresses)}, bump: a.Bump}
	if a.Refresh != nil {
		v := [32]byte(unhex(t, *a.Refresh))
		ann.refresh = &v
	}
	ns := nsAnnounce
	equalHex(t, "signable", ann.signable(&ns, &target, &node, &token), a.AnnounceSignable)
	equalHex(t, "announce", ann.sign(kp, &nsAnnounce, &target, &node, &token), a.AnnounceValue)
	equalHex(t, "signature", ann.signature[:], a.AnnounceSignature)
	in, err := decodeAnnouncement(unhex(t, a.AnnounceValue))
	if err != nil || !in.verify(&nsAnnounce, &target, &node, &token) || in.verify(&nsUnannounce, &target, &node, &token) {
		t.Errorf("announce does not verify: %v", err)
	}
	ann.bump = 0
	equalHex(t, "unannounce", ann.sign(kp, &nsUnannounce, &target, &node, &token), a.UnannounceValue)
}

type noisePayloadJSON struct {
	Decoded struct {
		Version         uint64
		Error, Firewall uint64
		Holepunch       *struct {
			ID     uint64
			Relays []struct{ RelayAddress, PeerAddress addrJSON }
		}
		Addresses4, Addresses6 []addrJSON
		UDX                    *struct {
			ReusableSocket bool
			ID             uint32
			Seq            uint64
		}
		SecretStream   *struct{}
		RelayThrough   *struct{ PublicKey, Token string }
		RelayAddresses []addrJSON
	}
	Encoded string
}

func (j *noisePayloadJSON) payload(t *testing.T) *payload {
	d := &j.Decoded
	p := &payload{version: payloadVersion, err: d.Error, firewall: firewall(d.Firewall), addresses4: addrsOf(d.Addresses4),
		addresses6: addrsOf(d.Addresses6), secret: d.SecretStream != nil, relays: addrsOf(d.RelayAddresses)}
	if d.Holepunch != nil {
		p.punch = &punchInfo{id: d.Holepunch.ID}
		for _, r := range d.Holepunch.Relays {
			p.punch.relays = append(p.punch.relays, relayPair{r.RelayAddress.addr(), r.PeerAddress.addr()})
		}
	}
	if d.UDX != nil {
		p.udx = &udxInfo{d.UDX.ReusableSocket, d.UDX.ID, d.UDX.Seq}
	}
	if d.RelayThrough != nil {
		p.through = &relayThrough{hypercrypto.PublicKey(unhex(t, d.RelayThrough.PublicKey)), [32]byte(unhex(t, d.RelayThrough.Token))}
	}
	return p
}

type roundJSON struct {
	Decoded struct {
		Error, Firewall, Round uint64
		Connected, Punching    bool
		Addresses              []addrJSON
		RemoteAddress          *addrJSON
		Token, RemoteToken     *string
	}
	Plain, Nonce, Encrypted string
}

func (j *roundJSON) round(t *testing.T) *round {
	d := &j.Decoded
	token := func(s *string) *[32]byte {
		if s == nil {
			return nil
		}
		v := [32]byte(unhex(t, *s))
		return &v
	}
	return &round{d.Connected, d.Punching, d.Error, firewall(d.Firewall), d.Round, addrsOf(d.Addresses), d.RemoteAddress.addr(),
		token(d.Token), token(d.RemoteToken)}
}

type routedJSON struct {
	Decoded struct {
		Mode, ID                  uint64
		PeerAddress, RelayAddress *addrJSON
		Noise, Payload            string
	}
	Encoded string
}

type handshakeVectors struct {
	Prologue, Target, ClientPublicKey, ServerPublicKey string
	NoisePayloads                                      map[string]noisePayloadJSON
	NoiseMessage1, NoiseMessage2, HandshakeHash        string
	InitiatorTx, InitiatorRx, HolepunchSecret          string
	HandshakeValues, HolepunchValues                   map[string]routedJSON
	HolepunchPayloads                                  struct{ List []roundJSON }
	HolepunchToken                                     struct{ LocalSecret, Host, Token string }
}

func TestHandshakeVectors(t *testing.T) {
	var v handshakeVectors
	load(t, "net-handshake.json", &v)
	for name, j := range v.NoisePayloads {
		if name == "unknownVersion" {
			if p, err := decodePayload(unhex(t, j.Encoded)); err != nil || p.version != j.Decoded.Version {
				t.Errorf("%s: %+v %v", name, p, err)
			}
			continue
		}
		want := j.payload(t)
		equalHex(t, name, want.appendTo(nil), j.Encoded)
		p, err := decodePayload(unhex(t, j.Encoded))
		if err != nil {
			t.Fatal(err)
		}
		equalHex(t, name+" decoded", p.appendTo(nil), j.Encoded)
	}
	for name, j := range v.HandshakeValues {
		h := handshake{j.Decoded.Mode, unhex(t, j.Decoded.Noise), j.Decoded.PeerAddress.addr(), j.Decoded.RelayAddress.addr()}
		equalHex(t, name, h.appendTo(nil), j.Encoded)
		in, err := decodeHandshake(unhex(t, j.Encoded))
		if err != nil || in.mode != h.mode || in.peer != h.peer || in.relay != h.relay || !bytes.Equal(in.noise, h.noise) {
			t.Errorf("%s: %+v %v", name, in, err)
		}
	}
	for name, j := range v.HolepunchValues {
		h := holepunch{j.Decoded.Mode, j.Decoded.ID, unhex(t, j.Decoded.Payload), j.Decoded.PeerAddress.addr()}
		equalHex(t, name, h.appendTo(nil), j.Encoded)
		in, err := decodeHolepunch(unhex(t, j.Encoded))
		if err != nil || in.mode != h.mode || in.id != h.id || in.peer != h.peer || !bytes.Equal(in.payload, h.payload) {
			t.Errorf("%s: %+v %v", name, in, err)
		}
	}
	hash := [64]byte(unhex(t, v.HandshakeHash))
	c := newPunchCipher(&hash)
	equalHex(t, "hole punch secret", c.key[:], v.HolepunchSecret)
	for _, j := range v.HolepunchPayloads.List {
		want := j.round(t)
		equalHex(t, "round", want.appendTo(nil), j.Plain)
		in, err := c.open(unhex(t, j.Encrypted))
		if err != nil {
			t.Fatal(err)
		}
		equalHex(t, "decoded round", in.appendTo(nil), j.Plain)
		if again, err := c.open(c.seal(want)); err != nil || !bytes.Equal(again.appendTo(nil), want.appendTo(nil)) {
			t.Errorf("own round: %v", err)
		}
	}
	c.local = [32]byte(unhex(t, v.HolepunchToken.LocalSecret))
	token := c.token(netip.MustParseAddr(v.HolepunchToken.Host))
	equalHex(t, "token", token[:], v.HolepunchToken.Token)
	checkNoise(t, &v)
}

// checkNoise runs both sides with the ephemeral keys of the vectors.
func checkNoise(t *testing.T, v *handshakeVectors) {
	pair := func(b byte) *hypercrypto.KeyPair {
		return hypercrypto.KeyPairFromSeed([32]byte(bytes.Repeat([]byte{b}, 32)))
	}
	client, server := pair(1), pair(2)
	target := targetOf(server.Public)
	equalHex(t, "target", target[:], v.Target)
	cp, sp := v.NoisePayloads["client"], v.NoisePayloads["server"]
	i := &initiator{keyPair: client, remote: server.Public, payload: cp.payload(t).appendTo(nil), seed: [32]byte(bytes.Repeat([]byte{3}, 32))}
	if err := i.begin(); err != nil {
		t.Fatal(err)
	}
	equalHex(t, "message 1", i.message, v.NoiseMessage1)
	r, p, err := newResponder(server, i.message)
	if err != nil || r.remote != client.Public || p.udx.id != cp.Decoded.UDX.ID {
		t.Fatalf("responder: %v", err)
	}
	// Garbage from a stranger does not spoil the handshake.
	if _, _, err := i.read(bytes.Repeat([]byte{7}, 101)); err == nil {
		t.Fatal("garbage was accepted")
	}
	state, err := noise.NewIK(noise.Config{Static: server, Prologue: nsHandshake[:], Random: bytes.NewReader(bytes.Repeat([]byte{4}, 32))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Read(nil, i.message); err != nil {
		t.Fatal(err)
	}
	r.state = state
	message, session, err := r.write(sp.payload(t))
	if err != nil {
		t.Fatal(err)
	}
	equalHex(t, "message 2", message, v.NoiseMessage2)
	got, mine, err := i.read(message)
	if err != nil || got.udx.id != sp.Decoded.UDX.ID {
		t.Fatalf("initiator: %v", err)
	}
	equalHex(t, "hash", mine.HandshakeHash[:], v.HandshakeHash)
	equalHex(t, "tx", mine.TX[:], v.InitiatorTx)
	equalHex(t, "rx", mine.RX[:], v.InitiatorRx)
	if session.TX != mine.RX || session.RemotePublicKey != client.Public || mine.RemotePublicKey != server.Public {
		t.Error("the sides disagree")
	}
}
