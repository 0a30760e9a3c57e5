package keyenc_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperbee/keyenc"
)

// The types of the sample schema, encoded by hand with this package and compact:
// proof that both hold all that stored hyperdb records need.

type point struct{ X, Y int64 }

// appendTo: a compact struct without optional fields is its fields.
func (p *point) appendTo(b []byte) []byte {
	return compact.AppendInt(compact.AppendInt(b, p.X), p.Y)
}

type loose struct {
	A    uint64
	B    string
	Flag bool
}

// appendTo: flags stand where the first optional field would be.
func (l *loose) appendTo(b []byte) []byte {
	flags := uint64(0)
	if l.B != "" {
		flags |= 1
	}
	if l.Flag {
		flags |= 2
	}
	b = compact.AppendUint(compact.AppendUint(b, l.A), flags)
	if l.B != "" {
		b = compact.AppendString(b, l.B)
	}
	return b
}

type everything struct {
	ID       uint64
	Name     string
	On       bool
	Small    uint64
	Opt, Key string // "hex:" and digits
	Tags     []string
	Color    uint64
	Scolor   string
	At       *point
	Loose    *loose
	Looses   []loose
	Bools    []bool
}

func (e *everything) appendTo(b []byte) []byte {
	b = compact.AppendString(compact.AppendUint(b, e.ID), e.Name)
	flags, bit := uint64(0), 0
	has := func(v bool) {
		if v {
			flags |= 1 << bit
		}
		bit++
	}
	has(e.On)
	flags |= e.Small << bit // uint3 lives in the flags
	bit += 3
	has(e.Opt != "")
	has(e.Tags != nil)
	has(e.Color != 0)
	has(e.Scolor != "")
	has(e.At != nil)
	has(e.Loose != nil)
	has(e.Looses != nil)
	has(e.Key != "")
	has(e.Bools != nil)
	b = compact.AppendUint(b, flags)
	if e.Opt != "" {
		b = compact.AppendBuffer(b, unhex(e.Opt))
	}
	if e.Tags != nil {
		b = compact.AppendUint(b, uint64(len(e.Tags)))
		for _, s := range e.Tags {
			b = compact.AppendString(b, s)
		}
	}
	if e.Color != 0 {
		b = compact.AppendUint(b, e.Color)
	}
	if e.Scolor != "" { // stored as its number, from 0 on
		b = compact.AppendUint(b, map[string]uint64{"red": 0, "green": 1}[e.Scolor])
	}
	if e.At != nil {
		b = e.At.appendTo(b)
	}
	if e.Loose != nil {
		b = compact.AppendFrame(b, e.Loose.appendTo)
	}
	if e.Looses != nil {
		b = compact.AppendUint(b, uint64(len(e.Looses)))
		for i := range e.Looses {
			b = compact.AppendFrame(b, e.Looses[i].appendTo)
		}
	}
	if e.Key != "" {
		b = append(b, unhex(e.Key)...)
	}
	if e.Bools != nil {
		b = compact.AppendBitArray(b, e.Bools)
	}
	return b
}

type member struct {
	Name string
	Age  uint64
	Note string
}

func (m *member) appendTo(b []byte) []byte { return m.appendValue(compact.AppendString(b, m.Name)) }

// appendValue appends the struct without its key field, as a record stores it. A
// compact struct has flags of a fixed width.
func (m *member) appendValue(b []byte) []byte {
	b = compact.AppendUint(b, m.Age)
	if m.Note == "" {
		return compact.AppendUintN(b, 0, 1)
	}
	return compact.AppendString(compact.AppendUintN(b, 1, 1), m.Note)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s[len("hex:"):])
	if err != nil {
		panic(err)
	}
	return b
}

type hyperdbVectors struct {
	Structs []struct {
		Type, Encoded string
		Value         json.RawMessage
	}
	Bee struct {
		Entries [][2]string
		History [][]any
	}
}

func loadHyperdb(t *testing.T) (v hyperdbVectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/struct-hyperdb.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Structs) == 0 || len(v.Bee.History) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

func TestHyperschemaStructs(t *testing.T) {
	for _, c := range loadHyperdb(t).Structs {
		value, ok := map[string]interface{ appendTo([]byte) []byte }{
			"@ex/point": new(point), "@ex/loose": new(loose), "@ex/everything": new(everything), "@ex/member": new(member),
		}[c.Type]
		if !ok {
			t.Fatalf("type %s", c.Type)
		}
		if err := json.Unmarshal(c.Value, value); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(value.appendTo(nil)); got != c.Encoded {
			t.Errorf("%s %s: %s, want %s", c.Type, c.Value, got, c.Encoded)
		}
	}
}

func TestHyperdbKeysAndValues(t *testing.T) {
	members := keyenc.NewPrefixedIndex(0, keyenc.String)
	byAge := keyenc.NewPrefixedIndex(1, keyenc.Uint, keyenc.String) // not unique: the primary key follows
	byNote := keyenc.NewPrefixedIndex(2, keyenc.String)

	entry := func(x *keyenc.Index, value []byte, parts ...any) [2]string {
		key, err := x.Key(parts...)
		if err != nil {
			t.Fatal(err)
		}
		return [2]string{hex.EncodeToString(key), hex.EncodeToString(value)}
	}
	records := func(m member) [3][2]string {
		primary, err := members.Key(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		value := m.appendValue([]byte{0, 1}) // collection version 1
		return [3][2]string{
			entry(members, value, m.Name),
			entry(byAge, primary, m.Age, m.Name),
			entry(byNote, primary, m.Note),
		}
	}
	v := loadHyperdb(t)
	if got, want := fmt.Sprint(records(member{"bob", 31, "x"})), fmt.Sprint(v.Bee.Entries); got != want {
		t.Errorf("entries %s, want %s", got, want)
	}
	known := map[string]bool{}
	for _, m := range []member{{"bob", 30, "x"}, {"bob", 31, "x"}, {"alice", 300, ""}} {
		for _, e := range records(m) {
			known[e[0]+" "+e[1]] = true
			known[e[0]+" <nil>"] = true // deleted
		}
	}
	for _, h := range v.Bee.History {
		if !known[fmt.Sprintf("%v %v", h[2], h[3])] {
			t.Errorf("%v was not derived", h)
		}
	}
}
