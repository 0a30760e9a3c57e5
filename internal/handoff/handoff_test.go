package handoff

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// tree makes files of their names and contents; names that end in a slash are
// folders, contents that begin with "->" links.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(p, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(p), 0o755); err == nil {
			if target, ok := strings.CutPrefix(content, "->"); ok {
				err = os.Symlink(target, p)
			} else {
				err = os.WriteFile(p, []byte(content), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list reads a folder back in the form of tree.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			out[rel+"/"] = ""
		case d.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(p)
			out[rel] = "->" + target
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			out[rel] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := list(t, dir)
	for name, content := range want {
		if c, ok := got[name]; !ok || c != content {
			t.Errorf("%s has %d bytes, want %d; there: %v", name, len(c), len(content), ok)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return string(b)
}

func TestFilesAndFoldersArrive(t *testing.T) {
	big := random(3*chunk + 17)
	src := tree(t, map[string]string{"one.txt": "1", "dir/big": big, "dir/empty": "", "dir/none/": "", "dir/deep/er/x": "x", "dir/link": "->deep/er/x"})
	if err := os.Chmod(filepath.Join(src, "one.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "new")
	var asked Offer
	sent, got := pass(t, newMeadow(),
		SendOptions{Options: Options{Device: "Ann's laptop"}, Paths: []string{filepath.Join(src, "one.txt"), filepath.Join(src, "dir")}, To: "bob"},
		ReceiveOptions{Options: Options{Device: "Bob", Watch: Watcher{Offer: func(_ context.Context, o Offer) (bool, error) { asked = o; return true, nil }}}, Dest: dst})
	if sent.err != nil || got.err != nil {
		t.Fatalf("sender: %v, receiver: %v", sent.err, got.err)
	}
	same(t, dst, map[string]string{"one.txt": "1", "dir/": "", "dir/big": big, "dir/empty": "", "dir/none/": "", "dir/deep/": "", "dir/deep/er/": "", "dir/deep/er/x": "x", "dir/link": "->deep/er/x"})
	if sent.Device != "Bob" || got.Device != "Ann's laptop" || asked.Device != got.Device {
		t.Errorf("the sides are called %q and %q", sent.Device, got.Device)
	}
	if sent.Files != 4 || got.Files != 4 || sent.Bytes != got.Bytes || int(got.Bytes) != len(big)+2 {
		t.Errorf("sent %d files and %d bytes, got %d and %d", sent.Files, sent.Bytes, got.Files, got.Bytes)
	}
	if asked.Count != 2 || len(asked.Items) != 2 || asked.Items[1] != (Item{"dir", true, uint64(len(big) + 1)}) {
		t.Errorf("the offer is %+v", asked)
	}
	slices.Sort(got.Names)
	if !slices.Equal(got.Names, []string{"dir", "one.txt"}) {
		t.Errorf("names: %v", got.Names)
	}
	a, _ := os.Stat(filepath.Join(src, "one.txt"))
	b, _ := os.Stat(filepath.Join(dst, "one.txt"))
	if b.Mode()&0o100 == 0 || !a.ModTime().Equal(b.ModTime()) {
		t.Errorf("mode %v, time %v instead of %v", b.Mode(), b.ModTime(), a.ModTime())
	}
}

// The receiver can show the code as well.
func TestReceiverShowsTheCode(t *testing.T) {
	m, dst := newMeadow(), t.TempDir()
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Dest: dst})
		done <- err
	}()
	src := tree(t, map[string]string{"a": "A"})
	_, err := Send(t.Context(), m, SendOptions{Options: Options{Code: strings.ToUpper(<-codes)}, Paths: []string{filepath.Join(src, "a")}})
	if e := <-done; err != nil || e != nil {
		t.Fatal(err, e)
	}
	same(t, dst, map[string]string{"a": "A"})
}

func TestNothingThatExistsIsReplaced(t *testing.T) {
	long := strings.Repeat("ö", 125) + ".txt" // 254 bytes
	src := tree(t, map[string]string{"a.txt": "new", "dir/x": "new", long: "new", ".hidden": "new"})
	dst := tree(t, map[string]string{"a.txt": "old", "a (2).txt": "old", "dir/x": "old", long: "old", ".hidden": "old"})
	var paths []string
	for _, n := range []string{"a.txt", "dir", long, ".hidden"} {
		paths = append(paths, filepath.Join(src, n))
	}
	sent, got := pass(t, newMeadow(), SendOptions{Paths: paths}, ReceiveOptions{Dest: dst})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	same(t, dst, map[string]string{"a.txt": "old", "a (2).txt": "old", "a (3).txt": "new", "dir/": "", "dir/x": "old", "dir (2)/": "", "dir (2)/x": "new",
		long: "old", strings.Repeat("ö", 123) + " (2).txt": "new", ".hidden": "old", ".hidden (2)": "new"})
}

func TestEqualNamesOfTheSenderStayApart(t *testing.T) {
	src := tree(t, map[string]string{"x/a.txt": "1", "y/A.txt": "2"})
	dst := t.TempDir()
	sent, got := pass(t, newMeadow(), SendOptions{Paths: []string{filepath.Join(src, "x/a.txt"), filepath.Join(src, "y/A.txt")}}, ReceiveOptions{Dest: dst})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	same(t, dst, map[string]string{"a.txt": "1", "A (2).txt": "2"})
}

func TestWrongCodeIsTheOnlyGuess(t *testing.T) {
	src := tree(t, map[string]string{"a": "A"})
	m, dst := newMeadow(), t.TempDir()
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Send(t.Context(), m, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: []string{filepath.Join(src, "a")}})
		done <- err
	}()
	code := <-codes
	wrong := code[:5] + "acorn-zebra"
	if wrong == code {
		wrong = code[:5] + "zebra-acorn"
	}
	// A typo does not reach the other side.
	if _, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: code + "x"}, Dest: dst}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a typo: %v", err)
	}
	_, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: wrong, Patience: time.Minute}, Dest: dst})
	if fault.KindOf(err) != fault.Permission || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong code: %v", err)
	}
	if err := <-done; fault.KindOf(err) != fault.Permission || !strings.Contains(err.Error(), "wrong code") {
		t.Errorf("the side that shows the code: %v", err)
	}
	if _, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: code, Patience: time.Second}, Dest: dst}); err == nil {
		t.Error("the code is good for a second try")
	}
	same(t, dst, nil)
}

// Two guesses at the same time count as the first of them.
func TestParallelGuessesGetOne(t *testing.T) {
	h := newHost(flagSends)
	m := newMeadow()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hosting := make(chan error, 1)
	go func() {
		hosting <- m.Host(ctx, TopicOf(h.code.Number), func(c *secretstream.Conn) { _ = h.accept(ctx, c) })
	}()
	var wg sync.WaitGroup
	var mu sync.Mutex
	wrong, used := 0, 0
	for range 8 {
		wg.Go(func() {
			conn, err := m.Join(ctx, TopicOf(h.code.Number))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, err = guestPair(conn, []byte("1234-no-code"), 0, false)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				t.Error("a guess was right")
			case strings.Contains(err.Error(), "wrong"):
				wrong++
			case strings.Contains(err.Error(), "used up"):
				used++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wrong != 1 || used != 7 {
		t.Errorf("%d guesses were looked at, %d refused", wrong, used)
	}
	if err := <-h.failed; fault.KindOf(err) != fault.Permission {
		t.Error(err)
	}
	cancel()
	if err := <-hosting; err != nil {
		t.Error(err)
	}
}

// Who goes away before making a guess has not used the code up.
func TestVisitorsWithoutAGuessDoNoHarm(t *testing.T) {
	src := tree(t, map[string]string{"a": "A"})
	m, dst := newMeadow(), t.TempDir()
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Send(t.Context(), m, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: []string{filepath.Join(src, "a")}})
		done <- err
	}()
	code := <-codes
	c, err := parseCode(code)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range [][]byte{nil, {1}, {byte(kindHello), version, 0}, append([]byte{byte(kindHello), version, 0}, make([]byte, 32)...), {byte(kindData)}, {byte(kindTag)}} {
		conn, err := m.Join(t.Context(), TopicOf(c.Number))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil {
			if _, err := conn.Write(first); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
	}
	if _, err := Receive(t.Context(), m, ReceiveOptions{Options: Options{Code: code}, Dest: dst}); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	same(t, dst, map[string]string{"a": "A"})
}

func TestBothSidesSend(t *testing.T) {
	src := tree(t, map[string]string{"a": "A"})
	m := newMeadow()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	codes, done := make(chan string, 1), make(chan error, 1)
	paths := []string{filepath.Join(src, "a")}
	go func() {
		_, err := Send(ctx, m, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: paths})
		done <- err
	}()
	if _, err := Send(t.Context(), m, SendOptions{Options: Options{Code: <-codes}, Paths: paths}); fault.KindOf(err) != fault.Usage {
		t.Errorf("both send: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestDeclined(t *testing.T) {
	src, dst := tree(t, map[string]string{"a": "A"}), t.TempDir()
	no := func(context.Context, Offer) (bool, error) { return false, nil }
	sent, got := pass(t, newMeadow(), SendOptions{Paths: []string{filepath.Join(src, "a")}}, ReceiveOptions{Options: Options{Device: "Bob", Watch: Watcher{Offer: no}}, Dest: dst})
	if fault.KindOf(sent.err) != fault.Permission || !strings.Contains(sent.err.Error(), "Bob declined") || fault.KindOf(got.err) != fault.Canceled {
		t.Error(sent.err, got.err)
	}
	same(t, dst, nil)
}

func TestNameOfTheReceiverIsChecked(t *testing.T) {
	src, dst := tree(t, map[string]string{"a": "A"}), t.TempDir()
	sent, got := pass(t, newMeadow(), SendOptions{Paths: []string{filepath.Join(src, "a")}, To: "Bob"}, ReceiveOptions{Options: Options{Device: "Mallory"}, Dest: dst})
	if fault.KindOf(sent.err) != fault.Permission || fault.KindOf(got.err) != fault.Permission {
		t.Error(sent.err, got.err)
	}
	for name := range list(t, dst) {
		if !strings.HasPrefix(name, stagingPrefix) {
			t.Errorf("%s arrived", name)
		}
	}
}

// A connection that breaks again and again only delays.
func TestBrokenConnectionsAreMadeAgain(t *testing.T) {
	files := map[string]string{"d/": ""}
	for i := range 20 {
		files["d/"+string(rune('a'+i))] = random(100_000)
	}
	files["d/big"] = random(5 * chunk)
	src, dst := tree(t, files), t.TempDir()
	m := newMeadow()
	cuts, budget := 0, 300_000
	m.wrap = func(c net.Conn) net.Conn {
		cuts++
		budget += 100_000
		return &brittle{Conn: c, left: budget}
	}
	asked := 0
	sent, got := pass(t, m, SendOptions{Paths: []string{filepath.Join(src, "d")}},
		ReceiveOptions{Dest: dst, Options: Options{Watch: Watcher{Offer: func(context.Context, Offer) (bool, error) { asked++; return true, nil }}}})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	same(t, dst, files)
	if cuts < 3 || asked != 1 {
		t.Errorf("%d connections, asked %d times", cuts, asked)
	}
}

// Both sides are stopped in the middle and started again.
func TestInterruptedTransferGoesOnLater(t *testing.T) {
	files := map[string]string{"d/": "", "d/a": random(chunk), "d/b": random(20 * chunk), "d/c": "c"}
	src, dst := tree(t, files), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	m := newMeadow()
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Send(ctx, m, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: []string{filepath.Join(src, "d")}})
		done <- err
	}()
	_, err := Receive(ctx, m, ReceiveOptions{Dest: dst, Options: Options{Code: <-codes, Watch: Watcher{Progress: func(p Progress) {
		if p.Bytes > 5*chunk {
			cancel()
		}
	}}}})
	if e := <-done; fault.KindOf(err) != fault.Canceled || fault.KindOf(e) != fault.Canceled {
		t.Fatal(err, e)
	}
	for name := range list(t, dst) {
		if !strings.HasPrefix(name, stagingPrefix) {
			t.Errorf("%s is in its place already", name)
		}
	}
	first := uint64(0)
	sent, got := pass(t, newMeadow(), SendOptions{Paths: []string{filepath.Join(src, "d")}},
		ReceiveOptions{Dest: dst, Options: Options{Watch: Watcher{Progress: func(p Progress) {
			if first == 0 {
				first = p.Bytes
			}
		}}}})
	if sent.err != nil || got.err != nil {
		t.Fatal(sent.err, got.err)
	}
	if first < 5*chunk {
		t.Errorf("the second attempt begins with %d bytes", first)
	}
	same(t, dst, files)
}

func TestChangedFileStaysBehind(t *testing.T) {
	src, dst := tree(t, map[string]string{"d/a": "A", "d/b": random(4 * chunk), "d/c": "C"}), t.TempDir()
	touched := false
	o := SendOptions{Paths: []string{filepath.Join(src, "d")}}
	o.Watch.Progress = func(p Progress) {
		if p.Files == 1 && !touched {
			touched = true
			if err := os.WriteFile(filepath.Join(src, "d", "c"), []byte("changed"), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	sent, got := pass(t, newMeadow(), o, ReceiveOptions{Dest: dst})
	if fault.KindOf(sent.err) != fault.Conflict || fault.KindOf(got.err) != fault.Conflict {
		t.Error(sent.err, got.err)
	}
	if l := list(t, dst); len(l) != 3 || l["d/a"] != "A" || len(l["d/b"]) != 4*chunk {
		t.Errorf("%d things arrived", len(l))
	}
}

func TestNothingToSend(t *testing.T) {
	dir := tree(t, map[string]string{"link": "->nowhere"})
	for _, paths := range [][]string{nil, {filepath.Join(dir, "absent")}, {filepath.Join(dir, "link")}} {
		if _, err := Send(t.Context(), newMeadow(), SendOptions{Paths: paths}); err == nil {
			t.Errorf("%v was sent", paths)
		}
	}
}

func TestLinksThatLeadOutStayBehind(t *testing.T) {
	src := tree(t, map[string]string{"d/in": "->sub/../x", "d/out": "->../../etc", "d/abs": "->" + string(filepath.Separator) + "etc", "d/x": "x", "d/sub/up": "->../x"})
	dst := t.TempDir()
	warned := 0
	o := SendOptions{Paths: []string{filepath.Join(src, "d")}}
	o.Watch.Warn = func(string, error) { warned++ }
	sent, got := pass(t, newMeadow(), o, ReceiveOptions{Dest: dst})
	if sent.err != nil || got.err != nil || warned != 2 {
		t.Fatal(sent.err, got.err, warned)
	}
	same(t, dst, map[string]string{"d/": "", "d/in": "->sub/../x", "d/x": "x", "d/sub/": "", "d/sub/up": "->../x"})
}

func BenchmarkTransfer(b *testing.B) {
	dir := b.TempDir()
	data := bytes.Repeat([]byte{1, 2, 3, 4}, 64<<20/4)
	if err := os.WriteFile(filepath.Join(dir, "f"), data, 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		m := newMeadow()
		codes, done := make(chan string, 1), make(chan error, 1)
		go func() {
			_, err := Send(b.Context(), m, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: []string{filepath.Join(dir, "f")}})
			done <- err
		}()
		_, err := Receive(b.Context(), m, ReceiveOptions{Dest: b.TempDir(), Options: Options{Code: <-codes}})
		if e := <-done; err != nil || e != nil {
			b.Fatal(err, e)
		}
	}
}

// Somebody in the middle passes all messages on. Both sides notice, and the code is
// used up.
func TestRelayInTheMiddleIsNoticed(t *testing.T) {
	src, dst := tree(t, map[string]string{"a": "A"}), t.TempDir()
	real, fake := newMeadow(), newMeadow()
	codes, done := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := Send(t.Context(), real, SendOptions{Options: Options{Watch: Watcher{Code: func(c string) { codes <- c }}}, Paths: []string{filepath.Join(src, "a")}})
		done <- err
	}()
	code := <-codes
	c, err := parseCode(code)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	relaying := make(chan error, 1)
	go func() {
		relaying <- fake.Host(ctx, TopicOf(c.Number), func(guest *secretstream.Conn) {
			host, err := real.Join(ctx, TopicOf(c.Number))
			if err != nil {
				t.Error(err)
				return
			}
			pass := func(from, to *secretstream.Conn) {
				for {
					b, err := from.ReadFrame()
					if err == nil {
						_, err = to.Write(b)
					}
					if err != nil {
						to.Close()
						return
					}
				}
			}
			var wg sync.WaitGroup
			wg.Go(func() { pass(guest, host) })
			pass(host, guest)
			wg.Wait()
		})
	}()
	_, err = Receive(t.Context(), fake, ReceiveOptions{Options: Options{Code: code, Patience: time.Minute}, Dest: dst})
	if e := <-done; err == nil || fault.KindOf(e) != fault.Permission {
		t.Errorf("guest: %v, host: %v", err, e)
	}
	cancel()
	if err := <-relaying; err != nil {
		t.Error(err)
	}
	same(t, dst, nil)
}
