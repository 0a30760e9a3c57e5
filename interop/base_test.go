package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// baseOp is an operation of the application that base-peer.js runs too.
type baseOp struct {
	Add     string   `json:"add,omitempty"`
	Indexer *bool    `json:"indexer,omitempty"`
	Remove  string   `json:"remove,omitempty"`
	Ack     bool     `json:"ack,omitempty"`
	Anchor  bool     `json:"anchor,omitempty"`
	Fork    *forkOp  `json:"fork,omitempty"`
	Log     string   `json:"log,omitempty"`
	Put     []string `json:"put,omitempty"`
	Del     string   `json:"del,omitempty"`
}

type forkOp struct {
	Indexers []string `json:"indexers"`
	Key      string   `json:"key"`
	Length   uint64   `json:"length"`
}

func addOp(key string, indexer bool) baseOp { return baseOp{Add: key, Indexer: &indexer} }

// baseApp is that application.
type baseApp struct {
	log *hypercore.Core
	kv  *hyperbee.Tree
}

func (a *baseApp) open(v *autobase.Views) error {
	a.log, a.kv = v.Core("log"), v.Tree("kv", nil)
	return nil
}

func (a *baseApp) apply(ctx context.Context, nodes []autobase.Node, h *autobase.Host) error {
	for _, n := range nodes {
		var op baseOp
		if err := json.Unmarshal(n.Value, &op); err != nil {
			return err
		}
		if op.Add != "" {
			k, err := hypercrypto.ParseKey(op.Add)
			if err != nil {
				return err
			}
			if err := h.AddWriter(k, op.Indexer == nil || *op.Indexer); err != nil {
				return err
			}
		}
		if op.Remove != "" {
			k, err := hypercrypto.ParseKey(op.Remove)
			if err != nil {
				return err
			}
			if err := h.RemoveWriter(k); err != nil {
				return err
			}
		}
		if op.Ack {
			if err := h.AckWriter(n.From); err != nil {
				return err
			}
		}
		if op.Anchor {
			if _, err := h.Anchor(); err != nil {
				return err
			}
		}
		if f := op.Fork; f != nil {
			var indexers []hypercrypto.Key
			for _, s := range append(f.Indexers, f.Key) {
				k, err := hypercrypto.ParseKey(s)
				if err != nil {
					return err
				}
				indexers = append(indexers, k)
			}
			last := len(indexers) - 1
			if _, err := h.Fork(indexers[:last], autobase.Ref{Key: indexers[last], Length: f.Length}); err != nil {
				return err
			}
		}
		if op.Log != "" {
			if _, err := a.log.Append(ctx, []byte(op.Log)); err != nil {
				return err
			}
		}
		if op.Put != nil {
			if err := a.kv.Put(ctx, []byte(op.Put[0]), []byte(op.Put[1]), nil); err != nil {
				return err
			}
		}
		if op.Del != "" {
			if err := a.kv.Del(ctx, []byte(op.Del), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// baseOptions are common to all peers of a test.
type baseOptions struct {
	encryption  string
	fastForward bool
	optimistic  bool
	acks        time.Duration // how often ours acknowledge by themselves; 0: never
}

// basePeer is a peer of either kind.
type basePeer interface {
	name() string
	key() string   // of the base
	local() string // of the own log
	append(t *testing.T, ops ...baseOp)
	each(t *testing.T, ops ...baseOp)
	ack(t *testing.T)
	state(t *testing.T) baseState
	listen(t *testing.T) uint64
	dial(t *testing.T, port uint64)
	cut(t *testing.T)
	restart(t *testing.T)
}

type baseState struct {
	Writable                 bool
	Confirmed, Members       uint64
	Indexers, Pending, Heads []string
	System                   baseCore
	Views                    map[string]baseCore
}

type baseCore struct {
	Key    string
	Length uint64
	Signed uint64
	Hash   string
}

// text is what all peers must agree on.
func (s baseState) text() string {
	s.Writable = false
	sort.Strings(s.Pending)
	b, _ := json.Marshal(s)
	return strings.ReplaceAll(string(b), "null", "[]")
}

// goBase is our peer.
type goBase struct {
	n    string
	dir  string
	seed byte
	boot string
	opts baseOptions

	hub   *hub
	store *corestore.Store
	base  *autobase.Base
	app   *baseApp

	onEvent func(autobase.Event)
}

func startGoBase(t *testing.T, seed byte, boot string, opts baseOptions) *goBase {
	g := &goBase{n: fmt.Sprint("go", seed), dir: t.TempDir(), seed: seed, boot: boot, opts: opts}
	g.start(t)
	t.Cleanup(g.stop)
	return g
}

func (g *goBase) start(t *testing.T) {
	t.Helper()
	seed := seedPair(g.seed).Seed()
	ctx := context.Background()
	var err error
	if g.store, err = corestore.Open(ctx, g.dir, &corestore.Options{PrimaryKey: &seed, Relaxed: true}); err != nil {
		t.Fatal(err)
	}
	o := &autobase.Options{AckInterval: -1, NoForward: !g.opts.fastForward, Optimistic: g.opts.optimistic}
	o.OnEvent = func(e autobase.Event) {
		if g.onEvent != nil {
			g.onEvent(e)
		}
		if e.Err != nil {
			fmt.Fprintln(os.Stderr, g.n, "event", e.Type, e.Key, e.Length, e.Err)
		}
	}
	if g.opts.acks > 0 {
		o.AckInterval = g.opts.acks
	}
	if g.opts.encryption != "" {
		k := hypercrypto.EncryptionKey(parseKey(t, g.opts.encryption))
		o.EncryptionKey = &k
	}
	var boot *hypercrypto.Key
	if g.boot != "" {
		k := parseKey(t, g.boot)
		boot = &k
	}
	g.app = &baseApp{}
	if g.base, err = autobase.Open(ctx, g.store, boot, autobase.Handlers{Open: g.app.open, Apply: g.app.apply}, o); err != nil {
		t.Fatal(err)
	}
	base := g.base
	g.hub = newHub(t, func(ctx context.Context, conn *secretstream.Conn) error { return base.Replicate(ctx, conn) })
}

func (g *goBase) stop() {
	g.hub.close()
	g.base.Close()
	g.store.Close()
}

func (g *goBase) restart(t *testing.T) { g.stop(); g.start(t) }
func (g *goBase) name() string         { return g.n }
func (g *goBase) key() string          { return g.base.Key().Hex() }
func (g *goBase) local() string        { return g.base.LocalKey().Hex() }
func (g *goBase) cut(t *testing.T)     { g.hub.cut() }
func (g *goBase) ack(t *testing.T) {
	t.Helper()
	if err := g.base.Ack(testContext(t)); err != nil {
		t.Fatal(err)
	}
}
func (g *goBase) listen(t *testing.T) uint64     { return uint64(g.hub.listen(t, false)) }
func (g *goBase) dial(t *testing.T, port uint64) { g.hub.dial(t, port, true) }

func (g *goBase) append(t *testing.T, ops ...baseOp) {
	t.Helper()
	var values [][]byte
	for _, op := range ops {
		b, _ := json.Marshal(op)
		values = append(values, b)
	}
	if _, err := g.base.Append(testContext(t), values...); err != nil {
		t.Fatalf("%s: %v", g.n, err)
	}
}

func (g *goBase) each(t *testing.T, ops ...baseOp) {
	t.Helper()
	for _, op := range ops {
		g.append(t, op)
	}
}

func (g *goBase) state(t *testing.T) baseState {
	t.Helper()
	if _, err := g.base.Update(testContext(t)); err != nil {
		t.Fatalf("%s: %v", g.n, err)
	}
	st := g.base.Status()
	refs := func(l []autobase.Ref) (out []string) {
		for _, r := range l {
			out = append(out, fmt.Sprint(r.Key.Hex(), ":", r.Length))
		}
		return out
	}
	s := baseState{Writable: st.Writable, Confirmed: st.Confirmed, Members: st.Members, Indexers: refs(st.Indexers), Heads: refs(st.Heads),
		System: baseCore{st.System.Hex(), st.Tip, st.Signed, hexOf(st.Hash[:])}, Views: map[string]baseCore{}}
	for _, k := range st.Pending {
		s.Pending = append(s.Pending, k.Hex())
	}
	for _, v := range st.Views {
		s.Views[v.Name] = baseCore{v.Key.Hex(), v.Length, v.Signed, hexOf(v.Hash[:])}
	}
	return s
}

// describe logs what is held of a log and who has it open.
func (g *goBase) describe(t *testing.T, log string) {
	t.Helper()
	key := parseKey(t, log)
	c, err := g.store.Get(testContext(t), corestore.GetOptions{Key: &key, Passive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Logf("log %s: %+v", log[:8], c.Info())
	for _, p := range c.Peers() {
		k := p.PublicKey()
		t.Logf("  %s %+v", hexOf(k[:4]), p.Stats())
	}
}

// jsBase is a JavaScript peer.
type jsBase struct {
	*Node
	n, dir    string
	seed      byte
	boot      string
	opts      baseOptions
	k, l      string
	listening uint64
}

func startJSBase(t *testing.T, seed byte, boot string, opts baseOptions) *jsBase {
	j := &jsBase{n: fmt.Sprint("js", seed), dir: filepath.Join(t.TempDir(), "store"), seed: seed, boot: boot, opts: opts}
	j.start(t)
	return j
}

func (j *jsBase) start(t *testing.T) {
	t.Helper()
	set := func(k, v string) { os.Setenv(k, v) }
	set("ENCRYPTION", j.opts.encryption)
	set("FAST_FORWARD", map[bool]string{true: "1"}[j.opts.fastForward])
	set("OPTIMISTIC", map[bool]string{true: "1"}[j.opts.optimistic])
	args := []string{j.dir, seedHex(j.seed)}
	if j.boot != "" {
		args = append(args, j.boot)
	}
	j.Node = StartNode(t, Hypercore11, "base-peer.js", args...)
	e := j.Event(t, "ready")
	j.k, j.l = e.Str("key"), e.Str("local")
}

// pause stops the process; resume lets it go on.
func (j *jsBase) pause(t *testing.T) {
	t.Helper()
	j.signal(t, syscall.SIGSTOP)
}

func (j *jsBase) resume(t *testing.T) {
	t.Helper()
	j.signal(t, syscall.SIGCONT)
}

func (j *jsBase) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := j.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (j *jsBase) restart(t *testing.T) { j.Stop(); j.start(t) }
func (j *jsBase) name() string         { return j.n }
func (j *jsBase) key() string          { return j.k }
func (j *jsBase) local() string        { return j.l }
func (j *jsBase) append(t *testing.T, ops ...baseOp) {
	t.Helper()
	j.Call(t, "append", Args{"ops": ops})
}
func (j *jsBase) each(t *testing.T, ops ...baseOp) {
	t.Helper()
	j.Call(t, "each", Args{"ops": ops})
}
func (j *jsBase) ack(t *testing.T) { t.Helper(); j.Call(t, "ack", nil) }
func (j *jsBase) cut(t *testing.T) { t.Helper(); j.Call(t, "cut", nil) }
func (j *jsBase) listen(t *testing.T) uint64 {
	t.Helper()
	return j.Call(t, "listen", nil).Num("port")
}
func (j *jsBase) dial(t *testing.T, port uint64) {
	t.Helper()
	j.Call(t, "connect", Args{"port": port})
}
func (j *jsBase) state(t *testing.T) baseState {
	t.Helper()
	b, _ := json.Marshal(j.Call(t, "state", nil))
	var s baseState
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// mesh connects all peers with each other.
func mesh(t *testing.T, peers ...basePeer) {
	t.Helper()
	for i, p := range peers[:len(peers)-1] {
		port := p.listen(t)
		for _, q := range peers[i+1:] {
			q.dial(t, port)
		}
	}
}

// converge waits until all peers have the same state and returns it.
func converge(t *testing.T, what string, ok func(s baseState) bool, peers ...basePeer) baseState {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var states []baseState
		same := true
		for _, p := range peers {
			states = append(states, p.state(t))
		}
		for _, s := range states[1:] {
			same = same && s.text() == states[0].text()
		}
		if same && (ok == nil || ok(states[0])) {
			return states[0]
		}
		if time.Now().After(deadline) {
			for i, s := range states {
				t.Logf("%s: %s", peers[i].name(), s.text())
				switch p := peers[i].(type) {
				case *jsBase:
					b, _ := json.MarshalIndent(p.Call(t, "writers", nil), "", " ")
					t.Logf("%s", b)
				case *goBase:
					for _, q := range peers {
						p.describe(t, q.local())
					}
				}
			}
			t.Fatalf("%s: peers do not agree", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settleBase lets the peers acknowledge until everything is signed that can be.
func settleBase(t *testing.T, peers ...basePeer) baseState {
	t.Helper()
	s := converge(t, "before acks", nil, peers...)
	for range 3 {
		for _, p := range peers {
			p.ack(t)
			s = converge(t, "after the ack of "+p.name(), nil, peers...)
		}
	}
	return s
}

// openBases starts peers of the given kinds; the first makes the base.
func openBases(t *testing.T, kinds string, opts baseOptions) (peers []basePeer) {
	t.Helper()
	boot := ""
	for i, k := range kinds {
		if k == 'g' {
			peers = append(peers, startGoBase(t, byte(i+1), boot, opts))
		} else {
			peers = append(peers, startJSBase(t, byte(i+1), boot, opts))
		}
		boot = peers[0].key()
	}
	return peers
}

// startBases starts peers that are connected; the first makes the base and adds the others, the first indexers of them as indexers.
func startBases(t *testing.T, kinds string, indexers int, opts baseOptions) []basePeer {
	t.Helper()
	peers := openBases(t, kinds, opts)
	mesh(t, peers...)
	for i, p := range peers[1:] {
		peers[0].append(t, addOp(p.local(), i+1 < indexers))
		converge(t, "joining of "+p.name(), func(s baseState) bool { return len(s.Pending) == 0 && s.Members == uint64(i+2) }, peers...)
	}
	return peers
}

func TestBasesOfGoAndJavaScriptAgree(t *testing.T) {
	for _, kinds := range []string{"jg", "gj", "jgj", "gjg", "gjjgg"} {
		for _, secret := range []string{"", seedHex(0x77)} {
			name := kinds
			if secret != "" {
				name += " encrypted"
			}
			t.Run(name, func(t *testing.T) {
				peers := startBases(t, kinds, 3, baseOptions{encryption: secret})
				for r := range 3 {
					for i, p := range peers {
						p.append(t, baseOp{Log: fmt.Sprint("log ", r, i)}, baseOp{Put: []string{fmt.Sprint("k", i), fmt.Sprint(r)}})
					}
				}
				s := settleBase(t, peers...)
				if s.System.Signed == 0 || s.Views["log"].Length != uint64(3*len(peers)) || s.Views["log"].Signed != s.Views["log"].Length {
					t.Fatalf("state at the end: %s", s.text())
				}
			})
		}
	}
}
