package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	raw, err := hex.DecodeString(*s)
	*h = raw
	return err
}

type vectorNode merkle.Node

func (n *vectorNode) UnmarshalJSON(b []byte) error {
	var hash hexBytes
	if err := json.Unmarshal(b, &[]any{&n.Index, &n.Size, &hash}); err != nil {
		return err
	}
	n.Hash = hypercrypto.Hash(hash)
	return nil
}

func vectorNodes(list []vectorNode) []merkle.Node {
	var nodes []merkle.Node
	for _, n := range list {
		nodes = append(nodes, merkle.Node(n))
	}
	return nodes
}

// vector is any message as the vectors spell it.
type vector struct {
	Seeks      bool
	Capability hexBytes

	Fork, Length, RemoteLength                                 uint64
	CanUpgrade, Uploading, Downloading, HasManifest, AllowPush bool

	ID, Priority, Request, Reason, Start uint64
	Any, Drop                            bool
	Bitfield                             []uint32
	Name                                 string
	Message                              hexBytes

	Block *struct {
		Index uint64
		Value hexBytes
		Nodes json.RawMessage
	}
	Hash *struct {
		Index uint64
		Nodes json.RawMessage
	}
	Seek *struct {
		Bytes, Padding uint64
		Nodes          []vectorNode
	}
	Upgrade *struct {
		Start, Length          uint64
		Nodes, AdditionalNodes []vectorNode
		Signature              hexBytes
	}
	Manifest json.RawMessage
}

func (v *vector) handshake() Handshake {
	return Handshake{Seeks: v.Seeks, Capability: hypercrypto.Hash(v.Capability)}
}

func (v *vector) sync() Sync {
	return Sync{
		Fork: v.Fork, Length: v.Length, RemoteLength: v.RemoteLength, CanUpgrade: v.CanUpgrade,
		Uploading: v.Uploading, Downloading: v.Downloading, HasManifest: v.HasManifest, AllowPush: v.AllowPush,
	}
}

func levels(t *testing.T, raw json.RawMessage) (n uint64) {
	if err := json.Unmarshal(raw, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func rawNodes(t *testing.T, raw json.RawMessage) []merkle.Node {
	var list []vectorNode
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	return vectorNodes(list)
}

func (v *vector) request(t *testing.T) Request {
	m := Request{ID: v.ID, Fork: v.Fork, Priority: v.Priority}
	if p := v.Block; p != nil {
		m.Block = &merkle.BlockRequest{Index: p.Index, Levels: levels(t, p.Nodes)}
	}
	if p := v.Hash; p != nil {
		m.Hash = &merkle.HashRequest{Index: p.Index, Levels: levels(t, p.Nodes)}
	}
	if p := v.Seek; p != nil {
		m.Seek = &merkle.SeekRequest{Bytes: p.Bytes, Padding: p.Padding}
	}
	if p := v.Upgrade; p != nil {
		m.Upgrade = &merkle.UpgradeRequest{Start: p.Start, Length: p.Length}
	}
	m.Manifest = string(v.Manifest) == "true"
	return m
}

// data leaves the manifest out: its own spelling is tested where it is decoded.
func (v *vector) data(t *testing.T) Data {
	m := Data{Request: v.Request, Proof: merkle.Proof{Fork: v.Fork}}
	if p := v.Block; p != nil {
		m.Block = &merkle.BlockPart{Index: p.Index, Value: p.Value, Nodes: rawNodes(t, p.Nodes)}
	}
	if p := v.Hash; p != nil {
		m.Hash = &merkle.HashPart{Index: p.Index, Nodes: rawNodes(t, p.Nodes)}
	}
	if p := v.Seek; p != nil {
		m.Seek = &merkle.SeekPart{Bytes: p.Bytes, Nodes: vectorNodes(p.Nodes)}
	}
	if p := v.Upgrade; p != nil {
		m.Upgrade = &merkle.UpgradePart{
			Start: p.Start, Length: p.Length, Nodes: vectorNodes(p.Nodes),
			Additional: vectorNodes(p.AdditionalNodes), Signature: p.Signature,
		}
	}
	return m
}

func (v *vector) bitfield() Bitfield {
	m := Bitfield{Start: v.Start}
	for _, w := range v.Bitfield {
		m.Bits = binary.LittleEndian.AppendUint32(m.Bits, w)
	}
	return m
}

// message is v as the type named typ.
func (v *vector) message(t *testing.T, typ string) any {
	switch typ {
	case "handshake":
		return v.handshake()
	case "sync":
		return v.sync()
	case "request":
		return v.request(t)
	case "cancel":
		return Cancel{Request: v.Request}
	case "data":
		return v.data(t)
	case "noData":
		return NoData{Request: v.Request, Reason: v.Reason}
	case "want", "unwant":
		return Want{Start: v.Start, Length: v.Length, Any: v.Any}
	case "bitfield":
		return v.bitfield()
	case "range":
		return Range{Drop: v.Drop, Start: v.Start, Length: v.Length}
	case "extension":
		return Extension{Name: v.Name, Payload: v.Message}
	}
	t.Fatalf("no message %q", typ)
	return nil
}

var typeNames = []string{"sync", "request", "cancel", "data", "noData", "want", "unwant", "bitfield", "range", "extension"}

func decode(typ string, body []byte) (any, error) {
	switch typ {
	case "handshake":
		return DecodeHandshake(body)
	case "sync":
		return DecodeSync(body)
	case "request":
		return DecodeRequest(body)
	case "cancel":
		return DecodeCancel(body)
	case "data":
		return DecodeData(body)
	case "noData":
		return DecodeNoData(body)
	case "want":
		return DecodeWant(body)
	case "unwant":
		return DecodeUnwant(body)
	case "bitfield":
		return DecodeBitfield(body)
	case "range":
		return DecodeRange(body)
	case "extension":
		return DecodeExtension(body)
	}
	return nil, fmt.Errorf("no message %q", typ)
}

// encode is AppendTo behind three bytes that must stay.
func encode(t testing.TB, m any) []byte {
	p := reflect.New(reflect.TypeOf(m))
	p.Elem().Set(reflect.ValueOf(m))
	b := p.Interface().(interface{ AppendTo([]byte) []byte }).AppendTo([]byte{1, 2, 3})
	if !bytes.HasPrefix(b, []byte{1, 2, 3}) {
		t.Fatalf("%T: AppendTo changed what stood before", m)
	}
	if s, ok := p.Interface().(interface{ Size() int }); ok && s.Size() != len(b)-3 {
		t.Errorf("%T: size %d, has %d bytes", m, s.Size(), len(b)-3)
	}
	return b[3:]
}

func loadVectors(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

type wireVectors struct {
	Messages, DecodeOnly []struct {
		Type    string
		ID      *int
		Message json.RawMessage
		Hex     hexBytes
	}
}

func TestMessageVectors(t *testing.T) {
	var v wireVectors
	loadVectors(t, "hypercore-wire.json", &v)
	if len(v.Messages) != 118 || len(v.DecodeOnly) != 6 {
		t.Fatalf("%d and %d vectors", len(v.Messages), len(v.DecodeOnly))
	}
	for _, c := range v.Messages {
		if c.ID != nil && typeNames[*c.ID] != c.Type {
			t.Errorf("message type %d is %s", *c.ID, c.Type)
		}
		checkDecode(t, c.Type, c.Message, c.Hex)
		m, err := decode(c.Type, c.Hex)
		if err != nil {
			continue // reported above
		}
		if got := encode(t, m); !bytes.Equal(got, c.Hex) {
			t.Errorf("%s %x: encoded as %x", c.Type, c.Hex, got)
		}
	}
	for _, c := range v.DecodeOnly {
		checkDecode(t, c.Type, c.Message, c.Hex)
	}
}

// checkDecode decodes body and compares it with the vector, which is a message
// or the text of an error.
func checkDecode(t *testing.T, typ string, raw json.RawMessage, body []byte) {
	t.Helper()
	got, err := decode(typ, body)
	if raw[0] == '"' {
		if err == nil {
			t.Errorf("%s %x: no error, want %s", typ, body, raw)
		}
		return
	}
	if err != nil {
		t.Errorf("%s %x: %v", typ, body, err)
		return
	}
	var v vector
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	want := v.message(t, typ)
	if d, ok := got.(Data); ok {
		if hasManifest := len(v.Manifest) > 0 && string(v.Manifest) != "null"; (d.Manifest != nil) != hasManifest {
			t.Errorf("%x: manifest %v", body, d.Manifest)
		}
		d.Manifest = nil
		got = d
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s %x:\ngot  %+v\nwant %+v", typ, body, got, want)
	}
	// All lengths short of the whole are errors, but for fields old peers omit.
	for n := range body {
		if _, err := decode(typ, body[:n]); err == nil && !optionalTail(typ, body, n) {
			t.Errorf("%s %x: cut to %d bytes it is accepted", typ, body, n)
		}
	}
}

func optionalTail(typ string, body []byte, n int) bool {
	switch typ {
	case "noData", "want", "unwant":
		r := compact.NewReader(body)
		r.Uint()
		if typ != "noData" {
			r.Uint()
		}
		return n == r.Offset()
	case "extension":
		r := compact.NewReader(body)
		return n >= len(r.Buffer())+1
	}
	return false
}

// TestTranscripts takes the sessions of two JavaScript peers apart and puts
// every message together again.
func TestTranscripts(t *testing.T) {
	var v struct {
		CapabilityInitiator, CapabilityResponder hexBytes
		Sessions                                 []struct {
			Name   string
			Frames []struct {
				From    string
				Hex     hexBytes
				Decoded []string
			}
		}
	}
	loadVectors(t, "hypercore-transcripts.json", &v)
	seen := make(map[string]int)
	for _, s := range v.Sessions {
		for _, f := range s.Frames {
			items := splitFrame(t, f.Hex)
			if f.From != "" && len(items) != len(f.Decoded) {
				t.Errorf("%s: %x has %d messages, want %d", s.Name, f.Hex, len(items), len(f.Decoded))
			}
			for i, it := range items {
				if it.typ == "" {
					continue
				}
				seen[it.typ]++
				m, err := decode(it.typ, it.body)
				if err != nil {
					t.Errorf("%s: %s %x: %v", s.Name, it.typ, it.body, err)
					continue
				}
				if got := encode(t, m); !bytes.Equal(got, it.body) {
					t.Errorf("%s: %s %x: encoded as %x", s.Name, it.typ, it.body, got)
				}
				if it.typ != "handshake" && !strings.Contains(f.Decoded[i], " "+it.typ+" ") {
					t.Errorf("%s: %s is %q", s.Name, it.typ, f.Decoded[i])
				}
			}
		}
	}
	for _, typ := range append(typeNames, "handshake") {
		if seen[typ] == 0 && typ != "unwant" {
			t.Errorf("no %s in the transcripts", typ)
		}
	}
}

// An item is one message of a frame; typ is empty if it belongs to protomux.
type item struct {
	typ  string
	body []byte
}

func splitFrame(t *testing.T, frame []byte) (items []item) {
	if len(frame) == 0 {
		return nil
	}
	r := compact.NewReader(frame)
	channel := r.Uint()
	batch := false
	if channel == 0 && len(frame) > 1 && frame[1] == 0 {
		r.Uint()
		channel, batch = r.Uint(), true
	}
	for more := true; more && r.Err() == nil; more = batch && r.Len() > 0 {
		body := r
		if batch {
			if body = r.Frame(); body.Len() == 0 {
				channel = r.Uint()
				continue
			}
		}
		typ := body.Uint()
		switch {
		case channel > 0 && typ < Types:
			items = append(items, item{typeNames[typ], body.Raw()})
		case channel == 0 && typ == 1: // open
			body.Uint()
			if p := body.String(); p != Protocol {
				t.Errorf("protocol %q", p)
			}
			body.Buffer()
			items = append(items, item{"handshake", body.Raw()})
		default:
			items = append(items, item{})
		}
	}
	if r.Err() != nil {
		t.Errorf("frame %x: %v", frame, r.Err())
	}
	return items
}
