package handoff

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// from runs a receiver against a sender that knows the code and says whatever it
// likes.
func from(t *testing.T, dst string, say func(conn *secretstream.Conn)) error {
	t.Helper()
	m, h := newMeadow(), newHost(flagSends)
	ctx, cancel := context.WithCancel(t.Context())
	hosting := make(chan error, 1)
	go func() {
		hosting <- m.Host(ctx, TopicOf(h.code.Number), func(c *secretstream.Conn) { _ = h.accept(ctx, c) })
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case conn := <-h.paired:
			say(conn)
			finish(conn)
			conn.Close()
		case <-ctx.Done():
		}
	}()
	_, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: h.code.String(), Patience: time.Minute}, Dest: dst})
	cancel()
	<-done
	if e := <-hosting; e != nil {
		t.Error(e)
	}
	return err
}

const anID = "0123456789abcdef0123456789abcdef"

// offering makes an offer, waits for the answer, and goes on with messages.
func offering(o offer, messages ...[]byte) func(*secretstream.Conn) {
	return func(conn *secretstream.Conn) {
		_ = sendJSON(conn, kindOffer, o)
		var a answer
		if receiveJSON(conn, kindAnswer, &a) != nil {
			return
		}
		for _, m := range messages {
			if _, err := conn.Write(m); err != nil {
				return
			}
		}
	}
}

func say(k kind, v any) []byte {
	b, ok := v.([]byte)
	if !ok {
		b, _ = json.Marshal(v)
	}
	return append([]byte{byte(k)}, b...)
}

func file(path, content string) [][]byte {
	h := newHash()
	h.Write([]byte(content))
	return [][]byte{say(kindEntry, entry{Path: path, Size: uint64(len(content))}), say(kindData, []byte(content)), say(kindEnd, h.Sum(nil))}
}

func TestHostileSendersReachNothing(t *testing.T) {
	one := offer{ID: anID, Files: 1, Entries: 1, Bytes: 1 << 40}
	many := offer{ID: anID, Files: 10, Entries: 10, Bytes: 1 << 40}
	join := func(a [][]byte, b ...[]byte) [][]byte { return append(a, b...) }
	all := say(kindAll, []byte(nil))
	for name, c := range map[string]struct {
		say  func(*secretstream.Conn)
		kind fault.Kind
	}{
		"parent":               {offering(one, file("../evil", "x")...), fault.Unsafe},
		"parent inside":        {offering(one, file("a/../../evil", "x")...), fault.Unsafe},
		"absolute":             {offering(one, file("/tmp/evil", "x")...), fault.Unsafe},
		"dot":                  {offering(one, file(".", "x")...), fault.Unsafe},
		"empty":                {offering(one, file("", "x")...), fault.Unsafe},
		"null":                 {offering(one, file("a\x00b", "x")...), fault.Unsafe},
		"long element":         {offering(one, file(strings.Repeat("n", 256), "x")...), fault.Unsafe},
		"long path":            {offering(one, file(strings.Repeat("n/", 3000)+"n", "x")...), fault.Unsafe},
		"staging folder":       {offering(one, file(stagingPrefix+anID+"/x", "x")...), fault.Unsafe},
		"folder outside":       {offering(one, say(kindEntry, entry{Path: "..", Kind: "folder"})), fault.Unsafe},
		"link outside":         {offering(one, say(kindEntry, entry{Path: "d/l", Kind: "link", Target: "../../evil"})), fault.Unsafe},
		"absolute link":        {offering(one, say(kindEntry, entry{Path: "d/l", Kind: "link", Target: "/etc"})), fault.Unsafe},
		"link as root":         {offering(one, say(kindEntry, entry{Path: "l", Kind: "link", Target: "l"})), fault.Unsafe},
		"device":               {offering(one, say(kindEntry, entry{Path: "d", Kind: "device"})), fault.Corrupt},
		"too many entries":     {offering(one, join(file("a", "x"), file("b", "x")...)...), fault.Corrupt},
		"too many bytes":       {offering(offer{ID: anID, Files: 1, Entries: 1, Bytes: 1}, file("a", "xx")...), fault.Corrupt},
		"more than the size":   {offering(one, say(kindEntry, entry{Path: "a", Size: 1}), say(kindData, []byte("xx"))), fault.Corrupt},
		"less than the size":   {offering(one, say(kindEntry, entry{Path: "a", Size: 3}), say(kindData, []byte("xx")), say(kindEnd, make([]byte, 32))), fault.Corrupt},
		"wrong hash":           {offering(one, say(kindEntry, entry{Path: "a", Size: 1}), say(kindData, []byte("x")), say(kindEnd, make([]byte, 32))), fault.Corrupt},
		"early end":            {offering(one, all), fault.Corrupt},
		"end in a file":        {offering(one, say(kindEntry, entry{Path: "a", Size: 3}), all), fault.Corrupt},
		"data without file":    {offering(one, say(kindData, []byte("x"))), fault.Corrupt},
		"entry in an entry":    {offering(many, say(kindEntry, entry{Path: "a", Size: 3}), say(kindEntry, entry{Path: "b", Size: 3})), fault.Corrupt},
		"unknown message":      {offering(one, say(99, []byte("x"))), fault.Corrupt},
		"no JSON":              {offering(one, say(kindEntry, []byte("{"))), fault.Corrupt},
		"huge control message": {offering(one, say(kindEntry, make([]byte, maxControl+1))), fault.Corrupt},
		"huge data message":    {offering(one, say(kindEntry, entry{Path: "a", Size: 1 << 30}), say(kindData, make([]byte, chunk+1))), fault.Corrupt},
		"id is a path":         {offering(offer{ID: "../../../../evil/aaaaaaaaaaaaaaaa", Entries: 1}), fault.Corrupt},
		"failure with escapes": {offering(one, say(kindFailed, failure{Kind: "full", Message: "\x1b[2Jno space\u202e"})), fault.Full},
		"size near the limit":  {offering(offer{ID: anID, Files: 2, Entries: 2, Bytes: math.MaxUint64}, join(file("a", "x"), say(kindEntry, entry{Path: "b", Size: math.MaxUint64}))...), fault.Corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dst := filepath.Join(parent, "in", "dst")
			err := from(t, dst, c.say)
			if fault.KindOf(err) != c.kind {
				t.Errorf("the receiver ends with %v", err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("the error cannot be shown: %q", err)
			}
			for p := range list(t, parent) {
				if !strings.HasPrefix(p, "in/dst/"+stagingPrefix) && p != "in/" && p != "in/dst/" {
					t.Errorf("%s was made", p)
				}
			}
		})
	}
}

// A folder that is a link in disguise: the second entry would go through it.
func TestLinksAreNotFollowedOut(t *testing.T) {
	dst, outside := t.TempDir(), t.TempDir()
	o := offer{ID: anID, Files: 1, Entries: 2, Bytes: 10}
	link := say(kindEntry, entry{Path: "d/l", Kind: "link", Target: "../d"})
	if err := from(t, dst, offering(o, append([][]byte{link}, append(file("d/l/x", "x"), say(kindAll, []byte(nil)))...)...)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dst, "d", "x")); err != nil || string(b) != "x" {
		t.Error("a link inside does not lead inside")
	}
	// The destination itself may hold links that others made; names from outside
	// never go through them, since they begin with a new folder.
	if err := os.Symlink(outside, filepath.Join(dst, "out")); err != nil {
		t.Fatal(err)
	}
	if err := from(t, dst, offering(offer{ID: anID, Files: 1, Entries: 1, Bytes: 10}, append(file("out/x", "x"), say(kindAll, []byte(nil)))...)); err != nil {
		t.Fatal(err)
	}
	same(t, outside, nil)
	if b, err := os.ReadFile(filepath.Join(dst, "out (2)", "x")); err != nil || string(b) != "x" {
		t.Error("the file is not there")
	}
}

// Two entries of one name do not replace each other.
func TestEntriesOfOneName(t *testing.T) {
	dst := t.TempDir()
	messages := append(append(file("a", "1"), file("a", "2")...), say(kindAll, []byte(nil)))
	if err := from(t, dst, offering(offer{ID: anID, Files: 2, Entries: 2, Bytes: 2}, messages...)); err != nil {
		t.Fatal(err)
	}
	same(t, dst, map[string]string{"a": "1", "a (2)": "2"})
}

// What a machine lost with its power is received again.
func TestLossAfterPowerFailureIsNoticed(t *testing.T) {
	files := map[string]string{"d/": "", "d/a": "A", "d/b": "B"}
	src, dst := tree(t, files), t.TempDir()
	s, err := newSource(t.Context(), []string{filepath.Join(src, "d")}, "x", func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	stage := filepath.Join(dst, stagingPrefix+s.offer.ID)
	if err := os.MkdirAll(filepath.Join(stage, filesName, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	// It counts the folder and a, and a is not there.
	var count []byte
	for _, n := range []uint64{2, 1, 1} {
		count = binary.LittleEndian.AppendUint64(count, n)
	}
	if err := os.WriteFile(filepath.Join(stage, countName), count, 0o600); err != nil {
		t.Fatal(err)
	}
	sent, got := pass(t, newMeadow(), SendOptions{Paths: []string{filepath.Join(src, "d")}}, ReceiveOptions{Dest: dst})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	same(t, dst, files)
}

// A receiver that is stopped while it puts things into their places goes on with
// the rest.
func TestStoppedWhilePlacing(t *testing.T) {
	src, dst := tree(t, map[string]string{"a": "A", "b": "B"}), t.TempDir()
	paths := []string{filepath.Join(src, "a"), filepath.Join(src, "b")}
	s, err := newSource(t.Context(), paths, "x", func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	stage := filepath.Join(dst, stagingPrefix+s.offer.ID)
	if err := os.MkdirAll(filepath.Join(stage, filesName), 0o755); err != nil {
		t.Fatal(err)
	}
	var count []byte
	for _, n := range []uint64{2, 2, 2} {
		count = binary.LittleEndian.AppendUint64(count, n)
	}
	for name, content := range map[string]string{filepath.Join(stage, countName): string(count), filepath.Join(stage, placingName): "", filepath.Join(stage, filesName, "b"): "B", filepath.Join(dst, "a"): "A"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sent, got := pass(t, newMeadow(), SendOptions{Paths: paths}, ReceiveOptions{Dest: dst})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	same(t, dst, map[string]string{"a": "A", "b": "B"})
}

func TestTheSameTransferTwiceAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no locks")
	}
	dst := t.TempDir()
	st, err := openStaging(dst, anID)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	if _, err := openStaging(dst, anID); fault.KindOf(err) != fault.Busy {
		t.Errorf("a second receiver: %v", err)
	}
}

// FuzzReceiver lets a sender say anything after a valid offer.
func FuzzReceiver(f *testing.F) {
	seed := func(messages ...[]byte) {
		var b []byte
		for _, m := range messages {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
		}
		f.Add(b)
	}
	seed(append(file("d/a", "hello"), say(kindAll, []byte(nil)))...)
	seed(say(kindEntry, entry{Path: "d", Kind: "folder"}), say(kindEntry, entry{Path: "d/l", Kind: "link", Target: "x"}))
	seed(say(kindEntry, entry{Path: "a", Size: 9}), say(kindVoid, failure{Message: "gone"}))
	seed(file("../x", "y")...)
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dst := filepath.Join(parent, "in", "dst")
		st, err := openStaging(dst, anID)
		if err != nil {
			t.Fatal(err)
		}
		defer st.close()
		r := &receiver{dest: dst, offer: offer{ID: anID, Entries: 20, Files: 20, Bytes: 1 << 20}}
		in := &incoming{receiver: r, st: st}
		for len(b) > 2 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			m := b[2 : 2+n]
			b = b[2+n:]
			if n == 0 {
				continue
			}
			if err := in.handle(kind(m[0]), m[1:], 0); err != nil {
				break
			}
		}
		if in.file != nil {
			in.file.Close()
		}
		if _, err := st.place(t.Context()); err != nil {
			t.Fatal(err)
		}
		for p, content := range list(t, parent) {
			if p != "in/" && !strings.HasPrefix(p, "in/dst/") {
				t.Fatalf("%s was made", p)
			}
			if target, ok := strings.CutPrefix(content, "->"); ok && (filepath.IsAbs(target) || strings.HasPrefix(filepath.Join(filepath.Dir(p), target), "..")) {
				t.Fatalf("%s leads to %s", p, target)
			}
		}
	})
}

// FuzzPair lets a guest say anything instead of proving that it knows the code.
func FuzzPair(f *testing.F) {
	f.Add([]byte{1, 1, 0}, []byte{2})
	f.Add(append([]byte{1, 1, 0}, make([]byte, 32)...), make([]byte, 65))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, b := pipe(t)
		h := newHost(flagSends)
		done := make(chan bool, 1)
		go func() {
			ok, _ := h.pair(a)
			a.Close()
			done <- ok
		}()
		for _, m := range [][]byte{first, second} {
			if len(m) > 0 && len(m) < 1<<16 {
				_, _ = b.Write(m)
			}
		}
		_ = b.CloseWrite()
		if <-done {
			t.Fatal("a guest without the code is accepted")
		}
		b.Close()
	})
}
