package autobase

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// anchorApp anchors the nodes with a certain value.
type anchorApp struct {
	testApp
	made []Ref
}

func (a *anchorApp) handlers() Handlers {
	return Handlers{Open: a.open, Apply: func(ctx context.Context, nodes []Node, h *Host) error {
		for _, n := range nodes {
			if _, err := a.log.Append(ctx, n.Value); err != nil {
				return err
			}
			if string(n.Value) == "anchor" {
				r, err := h.Anchor()
				if err != nil {
					return err
				}
				a.made = append(a.made, r)
			}
		}
		return nil
	}}
}

// The vector is from multi-fork.json, made by Autobase 7.28.1.
func TestAnchorsOfTheOtherStack(t *testing.T) {
	var v struct {
		Anchor struct {
			Bootstrap    string
			AnchoredNode struct {
				Key    string
				Length uint64
			}
			Anchor struct {
				Key      string
				Block    string
				Manifest struct {
					UserData string
					Prologue struct{ Hash string }
				}
			}
		}
	}
	b, err := os.ReadFile("testdata/multi-anchor.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	base, err := hypercrypto.ParseKey(v.Anchor.Bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	at, err := hypercrypto.ParseKey(v.Anchor.AnchoredNode.Key)
	if err != nil {
		t.Fatal(err)
	}
	l := &lineage{base: base}
	block, m, err := l.anchor(Ref{Key: at, Length: v.Anchor.AnchoredNode.Length})
	if err != nil {
		t.Fatal(err)
	}
	want := v.Anchor.Anchor
	if got := hex.EncodeToString(block); got != want.Block {
		t.Errorf("block %s, want %s", got, want.Block)
	}
	if got := hex.EncodeToString(m.UserData); got != want.Manifest.UserData {
		t.Errorf("user data %s, want %s", got, want.Manifest.UserData)
	}
	if got := m.Key().Hex(); got != want.Key {
		t.Errorf("key %s, want %s", got, want.Key)
	}
	d, err := decodeManifestData(m.UserData)
	if err != nil || d.namespace == nil || hex.EncodeToString(d.appendTo(nil)) != want.Manifest.UserData {
		t.Errorf("user data %+v, %v", d, err)
	}
}

func TestAnchorsBecomeHeads(t *testing.T) {
	for name, key := range map[string]*hypercrypto.EncryptionKey{"plain": nil, "encrypted": {7}} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dir := t.TempDir()
			var want Status
			for round := range 2 {
				s, err := corestore.Open(ctx, dir, &corestore.Options{PrimaryKey: &[32]byte{1}, Relaxed: true})
				if err != nil {
					t.Fatal(err)
				}
				app := &anchorApp{}
				b, err := Open(ctx, s, nil, app.handlers(), &Options{AckInterval: -1, NoForward: true, EncryptionKey: key})
				if err != nil {
					t.Fatal(err)
				}
				if round == 0 {
					for _, v := range []string{"one", "anchor"} {
						if _, err := b.Append(ctx, []byte(v)); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := b.Update(ctx); err != nil {
						t.Fatal(err)
					}
					want = b.Status()
					if len(want.Heads) != 1 || want.Heads[0] != app.made[0] || want.Members != 2 {
						t.Fatalf("anchors %v, %+v", app.made, want)
					}
				} else if got := b.Status(); got.Hash != want.Hash || got.Heads[0] != want.Heads[0] {
					t.Fatalf("after a restart: %+v, before: %+v", got, want)
				}
				if err := b.Check(ctx, new(anchorApp).handlers()); err != nil {
					t.Fatal(err)
				}
				b.Close()
				s.Close()
			}
		})
	}
}

func FuzzManifestData(f *testing.F) {
	f.Add(manifestData{compat: 3, namespace: &[32]byte{1}}.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeManifestData(b)
		if err != nil {
			return
		}
		again, err := decodeManifestData(d.appendTo(nil))
		if err != nil || again.compat != d.compat || (again.namespace == nil) != (d.namespace == nil) {
			t.Fatalf("%+v became %+v, %v", d, again, err)
		}
	})
}
