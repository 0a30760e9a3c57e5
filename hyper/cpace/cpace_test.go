package cpace

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/gtank/ristretto255"
	"pgregory.net/rapid"
)

// vectors are those of the draft for CPACE-RISTR255-SHA512.
type vectors struct {
	PRS, CI, SID, GeneratorString, G           octets
	Ya, ADa, YaShare, Yb, ADb, YbShare, K, ISK octets
	PointScalar, PointValid, PointProduct      octets
	PointInvalid                               []octets
	PrependLen                                 []struct{ In, Out octets }
}

type octets []byte

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.AppendDecode(nil, b)
	return err
}

func readVectors(t *testing.T) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/ristretto255-sha512.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func scalar(t *testing.T, b []byte) *ristretto255.Scalar {
	t.Helper()
	s := ristretto255.NewScalar()
	if err := s.Decode(b); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectorsOfTheDraft(t *testing.T) {
	v := readVectors(t)
	for _, p := range v.PrependLen {
		if got := lvCat(p.In); !bytes.Equal(got, p.Out) {
			t.Errorf("a length of %d is encoded as %x, want %x", len(p.In), got, p.Out)
		}
	}
	in := Input{Secret: v.PRS, Context: v.CI, Session: v.SID}
	if got := generatorString(v.PRS, v.CI, v.SID); !bytes.Equal(got, v.GeneratorString) {
		t.Errorf("generator string %x, want %x", got, v.GeneratorString)
	}
	if got := generator(in).Encode(nil); !bytes.Equal(got, v.G) {
		t.Errorf("generator %x, want %x", got, v.G)
	}
	ina, inb := in, in
	ina.Data, inb.Data = v.ADa, v.ADb
	a, b := begin(ina, true, scalar(t, v.Ya)), begin(inb, false, scalar(t, v.Yb))
	if got := a.Share(); !bytes.Equal(got[:], v.YaShare) {
		t.Errorf("share of A is %x, want %x", got, v.YaShare)
	}
	if got := b.Share(); !bytes.Equal(got[:], v.YbShare) {
		t.Errorf("share of B is %x, want %x", got, v.YbShare)
	}
	if got, ok := multiply(scalar(t, v.Ya), v.YbShare); !ok || !bytes.Equal(got, v.K) {
		t.Errorf("K is %x, want %x", got, v.K)
	}
	ka, erra := a.Finish(b.Share(), v.ADb)
	kb, errb := b.Finish(a.Share(), v.ADa)
	if erra != nil || errb != nil {
		t.Fatal(erra, errb)
	}
	if !bytes.Equal(ka.isk[:], v.ISK) || !bytes.Equal(kb.isk[:], v.ISK) {
		t.Errorf("ISK is %x and %x, want %x", ka.isk, kb.isk, v.ISK)
	}
}

func TestInvalidSharesAreRefused(t *testing.T) {
	v := readVectors(t)
	if got, ok := multiply(scalar(t, v.PointScalar), v.PointValid); !ok || !bytes.Equal(got, v.PointProduct) {
		t.Errorf("product is %x, want %x", got, v.PointProduct)
	}
	for _, y := range v.PointInvalid {
		if _, ok := multiply(scalar(t, v.PointScalar), y); ok {
			t.Errorf("%x is accepted", y)
		}
		if _, err := Respond(Input{Secret: []byte("x")}).Finish([ShareSize]byte(y), nil); !errors.Is(err, ErrShare) {
			t.Errorf("%x: %v", y, err)
		}
	}
}

// run runs both sides to the end.
func run(a, b Input) (ka, kb *Key) {
	ea, eb := Initiate(a), Respond(b)
	ka, erra := ea.Finish(eb.Share(), b.Data)
	kb, errb := eb.Finish(ea.Share(), a.Data)
	if erra != nil || errb != nil {
		panic(errors.Join(erra, errb))
	}
	return ka, kb
}

func TestSidesAgreeOnlyWhenAllInputsDo(t *testing.T) {
	field := rapid.SliceOfN(rapid.Byte(), 0, 200)
	rapid.Check(t, func(t *rapid.T) {
		a := Input{field.Draw(t, "secret"), field.Draw(t, "context"), field.Draw(t, "session"), field.Draw(t, "data")}
		b := a
		b.Data = field.Draw(t, "other data")
		ka, kb := run(a, b)
		if !ka.Confirm(kb.Tag()) || !kb.Confirm(ka.Tag()) || ka.Derive("x") != kb.Derive("x") {
			t.Fatal("equal secrets are not confirmed")
		}
		if ka.Derive("x") == ka.Derive("y") {
			t.Fatal("labels do not matter")
		}
		if ka.Confirm(ka.Tag()) {
			t.Fatal("a side's own tag is accepted from the other")
		}
		longer := append(field.Draw(t, "more"), 'x')
		other := b
		switch rapid.IntRange(0, 2).Draw(t, "difference") {
		case 0:
			other.Secret = append(longer, b.Secret...)
		case 1:
			other.Context = append(longer, b.Context...)
		case 2:
			other.Session = append(longer, b.Session...)
		}
		ka, kb = run(a, other)
		if ka.Confirm(kb.Tag()) || kb.Confirm(ka.Tag()) || ka.Derive("x") == kb.Derive("x") {
			t.Fatal("different inputs are confirmed")
		}
	})
}

func TestChangedDataIsNoticed(t *testing.T) {
	in := Input{Secret: []byte("secret"), Data: []byte("mine")}
	a, b := Initiate(in), Respond(in)
	ka, _ := a.Finish(b.Share(), []byte("mine"))
	kb, _ := b.Finish(a.Share(), []byte("else"))
	if ka.Confirm(kb.Tag()) || kb.Confirm(ka.Tag()) {
		t.Error("data was changed on the way and both sides confirm")
	}
}

func TestReflectedShareIsRefused(t *testing.T) {
	a := Initiate(Input{Secret: []byte("secret")})
	if _, err := a.Finish(a.Share(), nil); !errors.Is(err, ErrShare) {
		t.Errorf("a side speaks with itself: %v", err)
	}
}

func FuzzFinish(f *testing.F) {
	f.Add(make([]byte, 32), []byte(nil))
	e := Respond(Input{Secret: []byte("s")}).Share()
	f.Add(e[:], []byte("data"))
	f.Fuzz(func(t *testing.T, share, data []byte) {
		var s [ShareSize]byte
		copy(s[:], share)
		k, err := Initiate(Input{Secret: []byte("secret"), Data: []byte("a")}).Finish(s, data)
		if (k == nil) == (err == nil) {
			t.Fatal("neither key nor error")
		}
	})
}

func BenchmarkRun(b *testing.B) {
	in := Input{Secret: []byte("1234-guitar-lantern"), Session: make([]byte, 64)}
	for b.Loop() {
		run(in, in)
	}
}
