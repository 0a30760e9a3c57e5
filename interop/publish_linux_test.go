package interop

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// A folder that several devices write is a read-only drive for everybody with its link:
// a JavaScript peer that knows nothing but the link reads it, and sees what any of the
// devices changes, until it is not published any more.
func TestJavaScriptReadsAPublishedFolder(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	boot := b.network()
	one, two := b.machine(), b.machine()
	root := t.TempDir()
	home := func(machine string) string { return filepath.Join(root, machine) }
	do := func(machine, typ string, args ...string) (e Event) {
		t.Helper()
		n := b.cloudpal(machine, home(machine), boot, args...)
		if typ != "" {
			e = n.said(t, typ)
		}
		n.ends(t)
		return e
	}
	up := func(machine string) *Node {
		n := b.cloudpal(machine, home(machine), boot, "up")
		n.said(t, "up")
		return n
	}
	do(one, "identity", "identity", "new", "--protect", "plain")
	first := up(one)
	up(two)
	add := b.cloudpal(one, home(one), boot, "device", "add")
	do(two, "space", "join", add.said(t, "code").Str("code"), "--protect", "plain", "--device", "two")
	dirs := map[string]string{one: filepath.Join(root, "a"), two: filepath.Join(root, "b")}
	write := func(machine, name, text string) {
		t.Helper()
		path := filepath.Join(dirs[machine], name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, big := folder(t, 3<<20)
	write(one, "public/sub/hello.txt", "hello from one")
	write(one, "public/big.bin", string(big))
	write(one, "private.txt", "not for everybody")
	do(one, "folder", "sync", dirs[one])
	do(two, "folder", "sync", dirs[two])

	link := do(one, "published", "publish", filepath.Join(dirs[one], "public")).Str("link")
	key, err := hypercrypto.ParseKey(strings.TrimPrefix(link, "hyper://"))
	if err != nil {
		t.Fatalf("%q: %v", link, err)
	}
	eventually(t, "joined by its owner", func() bool { return do(one, "info", "status").Obj("dht").Num("topics") == 2 })
	js := startPeer(t, "", "drive-peer.js", "store", seedHex(5))
	_, seed := seeded(7)
	js.Call(t, "swarm", Args{"bootstrap": []any{map[string]any{"host": bridgeIP, "port": 49737}}, "seed": seed})
	js.Call(t, "drive", Args{"drive": "d", "key": key.Hex()})
	js.Call(t, "watch", Args{"drive": "d"})
	topic := key.Discovery()
	version := func() uint64 { t.Helper(); return js.Call(t, "version", Args{"drive": "d"}).Num("version") }
	js.finds(t, topic, func() bool { return version() > 1 })

	// reads waits until the peer reads a text, "" for no such file.
	reads := func(path, text string) {
		t.Helper()
		var f Event
		for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
			if f = js.Call(t, "get", Args{"drive": "d", "path": path}); f.Bool("found") == (text != "") && f.Str("text") == text {
				return
			}
		}
		t.Fatalf("%s: %v, want %q\n%s", path, f, text, js.Log())
	}
	reads("/sub/hello.txt", "hello from one")
	if f := js.Call(t, "get", Args{"drive": "d", "path": "/big.bin"}); f.Num("size") != uint64(len(big)) {
		t.Errorf("the large file: %v", f)
	}
	if got := js.Call(t, "readdir", Args{"drive": "d"}).List("names"); len(got) != 2 || got[0] != "big.bin" || got[1] != "sub" {
		t.Errorf("the drive has %v", got)
	}

	// What any device changes is seen, by name and content.
	write(one, "public/sub/hello.txt", "hello again")
	reads("/sub/hello.txt", "hello again")
	write(two, "public/from-two.txt", "hello from two")
	reads("/from-two.txt", "hello from two")
	if err := os.Rename(filepath.Join(dirs[two], "public/sub/hello.txt"), filepath.Join(dirs[two], "public/moved.txt")); err != nil {
		t.Fatal(err)
	}
	reads("/moved.txt", "hello again")
	reads("/sub/hello.txt", "")
	if err := os.Remove(filepath.Join(dirs[two], "public/moved.txt")); err != nil {
		t.Fatal(err)
	}
	reads("/moved.txt", "")
	changed := js.Next(t, "a change that is told", func(e Event) bool { return e.Str("event") == "changed" })
	for _, d := range changed.List("diff") {
		if d.([]any)[0] == "/big.bin" && d.([]any)[1] == "/big.bin" {
			t.Errorf("what nobody changed was written again: %v", changed)
		}
	}

	// After a restart it goes on.
	first.interrupt()
	write(one, "public/while-away.txt", "written meanwhile")
	before := version()
	up(one)
	js.finds(t, topic, func() bool { return version() > before })
	reads("/while-away.txt", "written meanwhile")

	// It ends when that is wanted: who comes later finds nobody.
	do(one, "", "publish", filepath.Join(dirs[one], "public"), "--stop")
	list := b.cloudpal(one, home(one), boot, "publish", "home", "--list")
	list.ends(t)
	if e := list.last("published"); e != nil {
		t.Errorf("still published: %v", e)
	}
	write(one, "public/later.txt", "not for them")
	late := startPeer(t, "", "drive-peer.js", "late", seedHex(6))
	_, seed = seeded(8)
	late.Call(t, "swarm", Args{"bootstrap": []any{map[string]any{"host": bridgeIP, "port": 49737}}, "seed": seed})
	late.Call(t, "drive", Args{"drive": "d", "key": key.Hex()})
	late.Call(t, "swarmJoin", Args{"topic": hex.EncodeToString(topic[:]), "server": false})
	late.Call(t, "swarmFlush", nil)
	if u := late.Call(t, "driveupdate", Args{"drive": "d"}); u.Num("version") > 1 {
		t.Errorf("somebody who comes later gets %v", u)
	}
}
