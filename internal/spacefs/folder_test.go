package spacefs

import (
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/filetree"
)

func TestTwoFoldersBecomeOne(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.write("hello.txt", "hello from ada\n")
	a.write("deep/down/here.txt", "deep\n")
	b.write("bob.txt", "hello from bob\n")
	a.sync()
	b.sync()
	want := map[string]string{"hello.txt": "hello from ada\n", "deep/down/here.txt": "deep\n", "bob.txt": "hello from bob\n"}
	wantFolders(t, want, a, b)

	big := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{1}).Read(big)
	a.write("big.bin", string(big))
	want["big.bin"] = string(big)
	wantFolders(t, want, a, b)
	before := b.space.BlobLog().ByteLength()
	big[1<<20] ^= 1
	b.write("big.bin", string(big))
	want["big.bin"] = string(big)
	wantFolders(t, want, a, b)
	if n := b.space.BlobLog().ByteLength() - before; n > 300_000 {
		t.Errorf("an edit of one byte stores %d bytes", n)
	}

	must(t, os.Rename(b.path("deep/down"), b.path("moved")))
	want["moved/here.txt"] = want["deep/down/here.txt"]
	delete(want, "deep/down/here.txt")
	b.write("hello.txt", "hello from both\n")
	want["hello.txt"] = "hello from both\n"
	must(t, os.Remove(a.path("bob.txt")))
	delete(want, "bob.txt")
	wantFolders(t, want, a, b)
	eventually(t, "the deleted file is in the trash", func() bool { return a.count().Trash == 1 && b.count().Trash == 1 })
}

func TestEditsInTwoPlacesAreKept(t *testing.T) {
	a, b, cut := pair(t, Options{})
	text := strings.Repeat("a line\n", 3) + "middle\n" + strings.Repeat("more lines\n", 3)
	a.write("notes.txt", text)
	a.write("picture", "\x00base")
	a.sync()
	b.sync()
	wantFolders(t, map[string]string{"notes.txt": text, "picture": "\x00base"}, a, b)

	cut()
	a.write("notes.txt", "from ada\n"+text)
	b.write("notes.txt", text+"from bob\n")
	a.write("picture", "\x00ada's")
	b.write("picture", "\x00bob's")
	eventually(t, "both have committed", func() bool {
		return a.read("notes.txt") == "from ada\n"+text && b.read("notes.txt") == text+"from bob\n" &&
			a.read("picture") == "\x00ada's" && b.read("picture") == "\x00bob's"
	})
	connect(t, a, b)
	eventually(t, "the text is merged", func() bool {
		return a.texts()["notes.txt"] == "from ada\n"+text+"from bob\n" && b.texts()["notes.txt"] == "from ada\n"+text+"from bob\n"
	})
	eventually(t, "both have three files", func() bool { return len(a.texts()) == 3 && maps.Equal(a.texts(), b.texts()) })
	var conflict filetree.Conflict
	v, release := a.View()
	for c, err := range v.Conflicts(t.Context()) {
		must(t, err)
		conflict = c
	}
	release()
	if conflict.Of != "picture" {
		t.Fatalf("conflict %+v", conflict)
	}
	both := a.texts()
	if s := both["picture"] + both[conflict.Copy.Path]; s != "\x00ada's\x00bob's" && s != "\x00bob's\x00ada's" {
		t.Errorf("sides %q", s)
	}
	must(t, b.Resolve(t.Context(), conflict.Copy.Path, KeepCopy))
	wantFolders(t, map[string]string{"notes.txt": both["notes.txt"], "picture": both[conflict.Copy.Path]}, a, b)
}

func TestUndoReachesTheOtherFolder(t *testing.T) {
	a, b, _ := pair(t, Options{})
	a.write("one.txt", "one\n")
	a.sync()
	b.sync()
	wantFolders(t, map[string]string{"one.txt": "one\n"}, a, b)
	must(t, os.Remove(b.path("one.txt")))
	wantFolders(t, map[string]string{}, a, b)
	u, err := b.Undo(t.Context())
	if err != nil || u.Changes != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	wantFolders(t, map[string]string{"one.txt": "one\n"}, a, b)
	if _, err := b.Redo(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFolders(t, map[string]string{}, a, b)
	seq, err := a.At(t.Context(), a.count().Newest)
	must(t, err)
	if n, left, err := a.Restore(t.Context(), "", seq-1); n != 1 || len(left) > 0 || err != nil {
		t.Fatalf("%d changes, %v, %v", n, left, err)
	}
	wantFolders(t, map[string]string{"one.txt": "one\n"}, a, b)
}

func TestFoldersGoOnAfterARestart(t *testing.T) {
	a, b, cut := pair(t, Options{})
	a.write("one.txt", "one\n")
	a.sync()
	b.sync()
	wantFolders(t, map[string]string{"one.txt": "one\n"}, a, b)
	cut()
	b.stop()
	a.write("two.txt", "two\n")
	must(t, os.WriteFile(b.path("three.txt"), []byte("three\n"), 0o644))
	b.start()
	s, err := b.library.Get("home")
	must(t, err)
	b.use(s)
	b.sync()
	connect(t, a, b)
	wantFolders(t, map[string]string{"one.txt": "one\n", "two.txt": "two\n", "three.txt": "three\n"}, a, b)
}
