package autobase

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type scenario struct {
	Name, Bootstrap string
	EncryptionKey   *string
	Writers         []scenarioWriter
	Steps           []struct {
		Do    json.RawMessage
		State []scenarioState
	}
	Final struct {
		Base            int
		System, Log, Kv []string
	}
}

type scenarioWriter struct {
	PrimaryKey, PublicKey, Key string
	ManifestVersion            uint64
	Oplog                      []string
}

type scenarioState struct {
	Bases           []int
	Clock           []uint64
	Members         uint64
	Indexers, Heads [][2]uint64
	PendingIndexers []int
	IndexedLength   uint64
	Order           string
	System          coreState
	Views           map[string]coreState
}

type coreState struct {
	Key, TreeHash  string
	Length, Signed uint64
}

func loadScenarios(t *testing.T) map[string]*scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/multi-scenario-*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	all := make(map[string]*scenario)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Scenarios []*scenario }
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for i, s := range v.Scenarios {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "multi-scenario-"), ".json")
			all[fmt.Sprint(name, "-", i)] = s
		}
	}
	return all
}

// replayer has the logs of a scenario's writers in a store and a base over them.
type replayer struct {
	s     *scenario
	logs  []*hypercore.Core
	clock []uint64
	app   testApp
	base  *Base
}

func newReplayer(t *testing.T, s *scenario) *replayer {
	t.Helper()
	ctx := context.Background()
	store, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r := &replayer{s: s, clock: make([]uint64, len(s.Writers))}
	var enc *hypercrypto.EncryptionKey
	if s.EncryptionKey != nil {
		k := hypercrypto.EncryptionKey(key32(t, *s.EncryptionKey))
		enc = &k
	}
	ns := hypercrypto.Namespace("corestore", 0)
	var zero [32]byte
	for _, w := range s.Writers {
		primary := key32(t, w.PrimaryKey)
		kp := hypercrypto.KeyPairFromSeed(hypercrypto.KeyedSum(primary[:], ns[:], zero[:], []byte("local")))
		m := hypercrypto.DefaultManifest(kp.Public)
		m.Version = w.ManifestVersion
		o := corestore.GetOptions{Manifest: m, KeyPair: kp}
		var le *logEncryption
		if enc != nil {
			le = &logEncryption{lineage: &lineage{base: key32(t, s.Bootstrap), encryption: enc}}
			o.Encryption = le
		}
		c, err := store.Get(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if le != nil {
			le.core = c
		}
		if c.Key().Hex() != w.Key {
			t.Fatalf("writer has key %s, not %s", c.Key().Hex(), w.Key)
		}
		r.logs = append(r.logs, c)
	}
	boot := hypercrypto.Key(key32(t, s.Bootstrap))
	r.base, err = Open(ctx, store, &boot, r.app.handlers(), &Options{EncryptionKey: enc, AckInterval: -1, NoForward: true, Optimistic: s.Name == "optimistic" || s.Name == "fuzz"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.base.Close() })
	return r
}

// advance appends the blocks up to clock.
func (r *replayer) advance(t *testing.T, clock []uint64) {
	t.Helper()
	ctx := context.Background()
	for i, n := range clock {
		var blocks [][]byte
		for _, b := range r.s.Writers[i].Oplog[r.clock[i]:n] {
			blocks = append(blocks, unhex(t, b))
		}
		if _, err := r.logs[i].Append(ctx, blocks...); err != nil {
			t.Fatal(err)
		}
		r.clock[i] = n
	}
	for i, n := range clock {
		if k := r.logs[i].Key(); n > 0 && r.base.opts.Optimistic {
			if err := r.base.Hint(ctx, k, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.base.Update(ctx); err != nil {
		t.Fatal(err)
	}
}

// state returns what the scenario records about a base.
func (r *replayer) state(t *testing.T) scenarioState {
	t.Helper()
	st := r.base.Status()
	number := func(k hypercrypto.Key) int {
		for i, w := range r.s.Writers {
			if k.Hex() == w.Key {
				return i
			}
		}
		return -1
	}
	refs := func(list []Ref) (out [][2]uint64) {
		for _, x := range list {
			out = append(out, [2]uint64{uint64(number(x.Key)), x.Length})
		}
		return out
	}
	s := scenarioState{Members: st.Members, Indexers: refs(st.Indexers), Heads: refs(st.Heads), IndexedLength: st.Confirmed,
		System: coreState{Key: st.System.Hex(), TreeHash: hex.EncodeToString(st.Hash[:]), Length: st.Tip, Signed: st.Signed},
		Views:  make(map[string]coreState)}
	for _, k := range st.Pending {
		s.PendingIndexers = append(s.PendingIndexers, number(k))
	}
	for _, v := range st.Views {
		s.Views[v.Name] = coreState{Key: v.Key.Hex(), TreeHash: hex.EncodeToString(v.Hash[:]), Length: v.Length, Signed: v.Signed}
	}
	return s
}

func (s *scenarioState) text() string {
	c := *s
	c.Bases, c.Clock, c.Order = nil, nil, ""
	c.Views = make(map[string]coreState)
	for k, v := range s.Views {
		if k != encryptionName {
			c.Views[k] = v
		}
	}
	b, _ := json.MarshalIndent(c, "", " ")
	return strings.ReplaceAll(string(b), "null", "[]")
}

func TestScenariosGiveTheStatesOfJavaScript(t *testing.T) {
	for name, s := range loadScenarios(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var live []*replayer // per base of the scenario
			for range s.Writers {
				live = append(live, newReplayer(t, s))
			}
			for i, step := range s.Steps {
				for _, want := range step.State {
					// Once from nothing, once following along.
					fresh := newReplayer(t, s)
					fresh.advance(t, want.Clock)
					got := fresh.state(t)
					if got.text() != want.text() {
						t.Fatalf("step %d %s from nothing, clock %v: got %s, want %s", i, step.Do, want.Clock, got.text(), want.text())
					}
					fresh.base.Close()
					b := live[want.Bases[0]]
					for j, n := range want.Clock {
						if n < b.clock[j] {
							b = newReplayer(t, s)
							live[want.Bases[0]] = b
							break
						}
					}
					b.advance(t, want.Clock)
					got = b.state(t)
					if got.text() != want.text() {
						t.Fatalf("step %d %s following, clock %v: got %s, want %s", i, step.Do, want.Clock, got.text(), want.text())
					}
				}
			}
		})
	}
}
