package workload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// The expected values were printed by bench/js/lib.js.

func TestBlocksAreThoseOfJavaScript(t *testing.T) {
	p := NewPool()
	for _, c := range []struct {
		i    uint64
		size int
		want string
	}{
		{123456, 100, "40e2010000000000151817cfff6da0ae7052e4c08593e41fafdc1a3fe8d36ef541486bcd7074042895c1ce770bfb7a50460c68ec76ecf7510a335623b133d743416d891171390bb883aa8b3b2e50a6951f40d4ab748f215973592871708ac63a3409979a"},
		{3, 5, "aeca7cce7a"},
	} {
		if got := hex.EncodeToString(p.Block(c.i, c.size)); got != c.want {
			t.Errorf("block %d of %d bytes is %s, want %s", c.i, c.size, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"block": {p.Block(40000, 65536), "ad50c08dd5ee52a2fc6560115f26351be626fab56e5a05ce88c31c84148976b9"},
		"pool":  {p.data, "f46c4589b0b079bb50128979c4432e67728de7a21f2f0b04e4b27daeb63267ed"},
	} {
		if got := sha256.Sum256(c.data); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("SHA-256 of the %s is %x, want %s", name, got, c.want)
		}
	}
}

func TestRandomNumbersAreThoseOfJavaScript(t *testing.T) {
	r := NewRNG(42)
	for i, want := range []float64{0.6011037519201636, 0.44829055899754167, 0.8524657934904099, 0.6697340414393693} {
		if got := r.Float(); got != want {
			t.Errorf("number %d is %v, want %v", i, got, want)
		}
	}
	r = NewRNG(7)
	for i, want := range []uint64{191, 1015, 16005, 11452} {
		if got := r.Intn(16384); got != want {
			t.Errorf("index %d is %d, want %d", i, got, want)
		}
	}
}

func TestFileContentsAreThoseOfOpenSSL(t *testing.T) {
	first, err := One.Reader()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 32)
	if _, err := io.ReadFull(first, b); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(b), "0545aad56da2a97c3663d1432a3d1c84a17e9f69e4f25a8b8620b4af78eefd6f"; got != want {
		t.Errorf("the first bytes are %s, want %s", got, want)
	}
	for name, f := range map[string]Files{"many": Many, "edit": Edit} {
		r, err := f.Reader()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if n, err := io.Copy(sum, r); err != nil || n != f.Size {
			t.Fatalf("%s: %d bytes, %v", name, n, err)
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
			t.Errorf("%s: SHA-256 is %s, want %s", name, got, f.SHA256)
		}
	}
}

func TestWriteToMakesFoldersOfSmallFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "many")
	f := Many.Resized(201 * smallFile)
	if err := f.WriteTo(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, f.Size)
	r, err := f.Reader()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, want); err != nil {
		t.Fatal(err)
	}
	for name, i := range map[string]int{"d000/f00000.bin": 0, "d000/f00199.bin": 199, "d001/f00200.bin": 200} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want[i*smallFile:(i+1)*smallFile]) {
			t.Errorf("%s has other content", name)
		}
	}
	if err := f.WriteTo(context.Background(), dir); err == nil {
		t.Error("existing files were overwritten")
	}
}

func TestWriteToRefusesAWrongHash(t *testing.T) {
	f := Edit.Resized(1000)
	f.SHA256 = Edit.SHA256
	if err := f.WriteTo(context.Background(), filepath.Join(t.TempDir(), "edit")); err == nil {
		t.Error("a wrong hash was accepted")
	}
}
