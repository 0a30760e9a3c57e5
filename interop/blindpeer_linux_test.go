package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// blindKey encrypts the bases of these tests.
const blindKey = "7700000000000000000000000000000000000000000000000000000000000077"

// jsBlind is a JavaScript application that uses blind peers.
type jsBlind struct {
	*Node
	t               *testing.T
	dir, boot       string
	seed            byte
	key, local, pub string
	bootstrap       []any
	mirrors         []string
}

func startJSBlind(t *testing.T, seed byte, boot string, bootstrap []any, mirrors ...string) *jsBlind {
	t.Helper()
	j := &jsBlind{t: t, dir: filepath.Join(t.TempDir(), "store"), boot: boot, seed: seed, bootstrap: bootstrap, mirrors: mirrors}
	j.start()
	return j
}

func (j *jsBlind) start() {
	j.t.Helper()
	os.Setenv("ENCRYPTION", blindKey)
	args := []string{j.dir, seedHex(j.seed)}
	if j.boot != "" {
		args = append(args, j.boot)
	}
	j.Node = StartNode(j.t, Hypercore11, "blind-client.js", args...)
	e := j.Event(j.t, "ready")
	j.key, j.local = e.Str("key"), e.Str("local")
	_, seed := seeded(100 + int(j.seed))
	j.pub = j.Call(j.t, "online", Args{"bootstrap": j.bootstrap, "mirrors": j.mirrors, "seed": seed}).Str("publicKey")
}

func (j *jsBlind) append(ops ...baseOp) {
	j.t.Helper()
	j.Call(j.t, "append", Args{"ops": ops})
}

// until waits for so many values in the plain view.
func (j *jsBlind) until(length uint64) {
	j.t.Helper()
	eventually(j.t, fmt.Sprintf("%d values in JavaScript", length), func() bool {
		return j.Call(j.t, "state", nil).Num("length") >= length
	})
}

// startOurMirror runs our server on a swarm.
func startOurMirror(t *testing.T, bootstrap []string, o *blindpeer.Options) *blindpeer.Server {
	t.Helper()
	m, err := blindpeer.Open(testContext(t), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close mirror: %v", err)
		}
	})
	s := startSwarm(t, bootstrap, m.KeyPair(), func(ctx context.Context, c *hyperswarm.Conn) { _ = m.Serve(ctx, c) })
	if err := s.Listen(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return m
}

func keeps(t *testing.T, m *blindpeer.Server, key string, length uint64) {
	t.Helper()
	k := parseKey(t, key)
	eventually(t, fmt.Sprintf("all %d blocks of %s at our mirror", length, key), func() bool {
		r, ok := m.Record(k)
		return ok && r.Length >= length && m.Holds(k)
	})
}

// Applications in JavaScript that are never online together share a base by our
// mirror, and call it.
func TestOurMirrorServesJavaScript(t *testing.T) {
	if !alone(t) {
		return
	}
	addrs, args := testnet(t)
	owner, _ := seeded(101) // of the first
	m := startOurMirror(t, addrs, &blindpeer.Options{Trusted: []hypercrypto.PublicKey{owner.Public}, Announce: func(hypercrypto.DiscoveryKey, bool) func() { return func() {} }})
	pub := m.KeyPair().Public
	mirror := hexOf(pub[:])

	one := startJSBlind(t, 1, "", args, mirror)
	one.append(baseOp{Log: "first"}, baseOp{Put: []string{"a", "1"}})
	one.Call(t, "addBase", nil)
	plain := one.Call(t, "addCore", Args{"name": "plain", "blocks": []string{"x", "y"}, "announce": true})
	keeps(t, m, one.key, 1)
	keeps(t, m, plain.Str("key"), 2)
	one.Call(t, "appendCore", Args{"name": "plain", "blocks": []string{"z"}})
	keeps(t, m, plain.Str("key"), 3)
	if r, _ := m.Record(parseKey(t, plain.Str("key"))); !r.Announce || r.Bytes != 3 {
		t.Errorf("record %+v", r)
	}

	// The second becomes a member; then the first goes away for a while.
	two := startJSBlind(t, 2, one.key, args, mirror)
	one.append(addOp(two.local, false))
	keeps(t, m, one.key, 3)
	one.Stop()
	two.Call(t, "addBase", nil)
	two.until(1)
	eventually(t, "a member", func() bool { return two.Call(t, "state", nil).Bool("writable") })
	two.append(baseOp{Log: "second"})
	keeps(t, m, two.local, 1)
	if got := two.Call(t, "read", Args{"key": plain.Str("key"), "index": 2}); got.Str("text") != "z" {
		t.Errorf("JavaScript reads %v", got)
	}
	two.Stop()

	// It hears of the second one's log by wakeup.
	one.boot = one.key
	one.start()
	one.Call(t, "addBase", nil)
	one.until(2)

	// A reader that has met nobody.
	three := startJSBlind(t, 3, one.key, args, mirror)
	one.Stop()
	three.Call(t, "addBase", nil)
	three.until(2)
	if got := three.Call(t, "get", Args{"key": "a"}); got.Str("value") != "1" {
		t.Errorf("JavaScript reads %v", got)
	}

	// Calls: a stranger's and the owner's.
	_, stranger := seeded(200)
	if e := three.Call(t, "call", Args{"mirror": mirror, "method": "delete-core", "key": plain.Str("key"), "seed": stranger}); e.Str("code") != "REQUEST_ERROR" || e.Str("cause") != "Only trusted peers can delete cores" {
		t.Errorf("stranger deletes: %v", e)
	}
	if r := three.Call(t, "call", Args{"mirror": mirror, "method": "add-core", "key": plain.Str("key"), "announce": true, "priority": 5, "seed": stranger}); r.Num("length") != 3 || r.Num("bytes") != 3 || r.Num("priority") != 1 {
		t.Errorf("stranger adds: %v", r)
	}
	if e := three.Call(t, "call", Args{"mirror": mirror, "method": "nonsense", "key": plain.Str("key"), "seed": stranger}); e.Str("code") != "UNKNOWN_METHOD" {
		t.Errorf("unknown method: %v", e)
	}
	three.Stop()
	one.start()
	for _, want := range []bool{true, false} {
		if r := one.Call(t, "call", Args{"mirror": mirror, "method": "delete-core", "key": plain.Str("key")}); r.Bool("existed") != want {
			t.Errorf("owner deletes: %v, want %v", r, want)
		}
	}
	if _, ok := m.Record(parseKey(t, plain.Str("key"))); ok {
		t.Error("it is still there")
	}
	t.Logf("%+v", m.Stats())
}

// ourBlind is our application that uses blind peers.
type ourBlind struct {
	t      *testing.T
	store  *corestore.Store
	base   *autobase.Base
	app    *baseApp
	client *blindpeer.Client
	swarm  *goSwarm
	closed bool
}

func startOurBlind(t *testing.T, seed byte, boot string, bootstrap []string) *ourBlind {
	t.Helper()
	o := &ourBlind{t: t, app: &baseApp{}}
	primary := seedPair(seed).Seed()
	var err error
	if o.store, err = corestore.Open(testContext(t), t.TempDir(), &corestore.Options{PrimaryKey: &primary}); err != nil {
		t.Fatal(err)
	}
	enc := hypercrypto.EncryptionKey(parseKey(t, blindKey))
	var key *hypercrypto.Key
	if boot != "" {
		k := parseKey(t, boot)
		key = &k
	}
	o.base, err = autobase.Open(testContext(t), o.store, key, autobase.Handlers{Open: o.app.open, Apply: o.app.apply},
		&autobase.Options{AckInterval: -1, EncryptionKey: &enc})
	if err != nil {
		t.Fatal(err)
	}
	kp, _ := seeded(100 + int(seed))
	o.swarm = startSwarm(t, bootstrap, kp, func(ctx context.Context, c *hyperswarm.Conn) {
		m := protomux.New(c, &protomux.Options{KeepAlive: 5 * time.Second})
		defer o.client.Attach(m)()
		if err := o.base.Attach(m); err != nil {
			return
		}
		dk := o.base.Key().Discovery()
		m.Pair("wakeup", dk[:], func([]byte) { _ = o.base.Attach(m) })
		_ = o.store.ReplicateMux(ctx, m)
	})
	o.client = blindpeer.NewClient(o.swarm)
	t.Cleanup(o.stop)
	return o
}

func (o *ourBlind) stop() {
	if o.closed {
		return
	}
	o.closed = true
	o.client.Close()
	o.swarm.Close()
	o.base.Close()
	o.store.Close()
}

func (o *ourBlind) logs() []blindpeer.Log {
	s := o.base.Status()
	logs := []blindpeer.Log{{Key: o.base.LocalKey()}, {Key: s.System, Length: s.Signed}}
	for _, v := range s.Views {
		logs = append(logs, blindpeer.Log{Key: v.Key, Length: v.Signed})
	}
	for _, h := range s.Heads {
		logs = append(logs, blindpeer.Log{Key: h.Key, Length: h.Length})
	}
	return logs
}

func (o *ourBlind) keepBase(mirror string) *blindpeer.Keeping {
	o.t.Helper()
	key := o.base.Key()
	k, err := o.client.Keep(blindpeer.Subject{Logs: o.logs, Target: key, Mirrors: []hypercrypto.PublicKey{hypercrypto.PublicKey(parseKey(o.t, mirror))},
		Referrer: &key, Priority: blindpeer.PriorityNormal})
	if err != nil {
		o.t.Fatal(err)
	}
	return k
}

func (o *ourBlind) keepCore(c *hypercore.Core, mirror string, announce bool) {
	o.t.Helper()
	_, err := o.client.Keep(blindpeer.Subject{Logs: func() []blindpeer.Log { return []blindpeer.Log{{Key: c.Key(), Length: c.Length()}} }, Target: c.Key(),
		Mirrors: []hypercrypto.PublicKey{hypercrypto.PublicKey(parseKey(o.t, mirror))}, Announce: announce})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *ourBlind) append(v baseOp) {
	o.t.Helper()
	(&goBase{n: "ours", base: o.base}).append(o.t, v)
}

func (o *ourBlind) until(length uint64) {
	o.t.Helper()
	eventually(o.t, fmt.Sprintf("%d values here", length), func() bool {
		for _, v := range o.base.Status().Views {
			if v.Name == "log" {
				return v.Length >= length
			}
		}
		return false
	})
}

// The same with a mirror in JavaScript and our applications.
func TestJavaScriptMirrorServesUs(t *testing.T) {
	if !alone(t) {
		return
	}
	addrs, args := testnet(t)
	owner, _ := seeded(101)
	js := StartNode(t, Hypercore11, "blind-peer.js", "store")
	js.Event(t, "ready")
	mirror := js.Call(t, "run", Args{"bootstrap": args, "trusted": []string{hexOf(owner.Public[:])}}).Str("publicKey")
	theirs := func(key hypercrypto.Key, length uint64) {
		t.Helper()
		eventually(t, fmt.Sprintf("all %d blocks at the mirror in JavaScript", length), func() bool {
			r := js.Call(t, "record", Args{"key": key.Hex()})
			return r.Bool("found") && r.Num("length") >= length && r.Num("contiguous") == r.Num("length") && r.Num("recorded") == r.Num("length")
		})
	}

	one := startOurBlind(t, 1, "", addrs)
	one.append(baseOp{Log: "first"})
	one.keepBase(mirror)
	plain, err := one.store.Get(testContext(t), corestore.GetOptions{Name: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	appendBlocks(t, plain, []byte("x"), []byte("y"))
	one.keepCore(plain, mirror, true)
	key := one.base.Key()
	theirs(key, 1)
	theirs(plain.Key(), 2)
	if r := js.Call(t, "record", Args{"key": plain.Key().Hex()}); !r.Bool("announce") || r.Num("bytes") != 2 {
		t.Errorf("record %v", r)
	}
	if r := js.Call(t, "record", Args{"key": key.Hex()}); r.Str("referrer") != key.Hex() || r.Num("priority") != 1 || r.Bool("announce") {
		t.Errorf("record %v", r)
	}

	two := startOurBlind(t, 2, key.Hex(), addrs)
	local := two.base.LocalKey()
	one.append(addOp(local.Hex(), false))
	theirs(key, 2)
	one.swarm.Suspend(testContext(t))
	two.keepBase(mirror)
	two.until(1)
	if err := two.base.WaitWritable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	two.append(baseOp{Log: "second"})
	theirs(local, 1)
	two.stop()

	// The first hears of the log of the second by wakeup.
	if err := one.swarm.Resume(); err != nil {
		t.Fatal(err)
	}
	one.until(2)

	// A reader in JavaScript that has met nobody.
	three := startJSBlind(t, 3, key.Hex(), args, mirror)
	one.swarm.Suspend(testContext(t))
	three.Call(t, "addBase", nil)
	three.until(2)

	// Calls: the owner's, and a stranger's.
	if err := one.swarm.Resume(); err != nil {
		t.Fatal(err)
	}
	strange := startOurBlind(t, 4, key.Hex(), addrs)
	at := hypercrypto.PublicKey(parseKey(t, mirror))
	_, err = strange.client.Delete(testContext(t), at, plain.Key())
	var refused *blindpeer.RemoteError
	if !errors.As(err, &refused) || refused.Code != "REQUEST_ERROR" || refused.Cause != "Only trusted peers can delete cores" {
		t.Errorf("a stranger deletes: %v", err)
	}
	r, err := one.client.Add(testContext(t), at, plain.Key(), blindpeer.AddOptions{Announce: true})
	if err != nil || r.Length != 2 || r.Bytes != 2 || !r.Announce {
		t.Errorf("we add: %+v, %v", r, err)
	}

	// It knows nothing of released blocks and keeps them, says so, and goes on.
	release := blindpeer.Release{Log: plain.Key(), Length: 2, Runs: []hypercore.Run{{Start: 0, End: 1}}, Writer: plain.KeyPair()}
	if err := one.client.Release(testContext(t), at, release); !errors.Is(err, blindpeer.ErrKeepsReleased) {
		t.Errorf("we release a block: %v", err)
	}
	theirs(plain.Key(), 2)
	for _, want := range []bool{true, false} {
		if existed, err := one.client.Delete(testContext(t), at, plain.Key()); err != nil || existed != want {
			t.Errorf("we delete: %v, %v, want %v", existed, err, want)
		}
	}
}
