package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What people do with a folder on two machines, one thing after the other. After each of
// them rsync and diff find no difference between the two.
func TestRsyncAndDiffAgreeAfterEachStory(t *testing.T) {
	if !alone(t) {
		return
	}
	one, two := twoKeepers(t)
	story := func(name string, tell func()) {
		t.Helper()
		tell()
		equal(t, one, two)
		t.Log(name)
	}

	story("first sync, both ways", func() {
		one.shell(`
			mkdir -p photos/2026/march empty 'with space' ünïcödé
			head -c 3000000 /dev/urandom > photos/2026/march/big.raw
			head -c 100000 /dev/urandom > photos/2026/one.jpg
			touch -d '2001-02-03 04:05:06.789' photos/2026/one.jpg
			printf 'milk\nbread\napples\npears\nsoap\n' > shopping.txt
			printf 'the same' > both.txt
			touch -d '2020-01-01 00:00:00' both.txt
			: > empty.txt
			echo text > 'with space/a file.txt'; echo text > ünïcödé/ñ.txt
			printf '#!/bin/sh\n' > run.sh; chmod 755 run.sh
			echo secret > private.txt; chmod 600 private.txt
			ln -s photos/2026 latest; ln -s nowhere dangling
			for i in $(seq 300); do mkdir -p many/d$((i % 7)); echo "file $i" > many/d$((i % 7))/f$i; done`)
		two.shell(`
			mkdir -p music photos/2026
			head -c 500000 /dev/urandom > music/song.ogg
			head -c 90000 /dev/urandom > photos/2026/two.jpg
			printf 'the same' > both.txt
			touch -d '2020-01-01 00:00:00' both.txt
			echo 'notes of two' > notes.txt`)
		one.sync()
		two.sync()
	})

	story("edits", func() {
		one.shell(`printf 'x' | dd of=photos/2026/march/big.raw bs=1 seek=1500000 conv=notrunc status=none; echo more >> notes.txt; chmod 700 run.sh`)
		two.shell(`sed -i 's/milk/oat milk/' shopping.txt; head -c 10 /dev/urandom >> music/song.ogg; ln -sfn music latest; touch -d '2011-11-11 11:11:11' both.txt`)
	})

	story("a folder is renamed, and files", func() {
		one.shell(`mv photos pictures; mv pictures/2026/one.jpg 'with space/eins.jpg'`)
		two.shell(`mv many lots; mkdir lots/deeper; mv lots/d1 lots/deeper/`)
	})

	story("deletions", func() {
		one.shell(`rm -r lots/deeper; rm empty.txt; rmdir empty`)
		two.shell(`rm -r music; rm dangling private.txt`)
	})

	story("a file becomes a folder, and a folder a link", func() {
		one.shell(`rm both.txt; mkdir both.txt; echo inside > both.txt/file`)
		two.shell(`rm -r ünïcödé; ln -s shopping.txt ünïcödé`)
	})

	story("offline, on both: a conflict and a merge", func() {
		equal(t, one, two)
		one.unplug()
		one.shell(`echo 'from one' > notes.txt; sed -i 's/soap/two soaps/' shopping.txt; mv lots/d2 lots/zwei; echo new > lots/only-one; rm lots/d3/f3`)
		two.shell(`echo 'from two' > notes.txt; sed -i 's/oat milk/rice milk/' shopping.txt; echo more >> lots/d2/f2; echo new > lots/only-two; echo kept >> lots/d3/f3`)
		one.plug()
		// What merges is a conflict first, and the folders can be equal then.
		one.everywhere("shopping.txt", "rice milk\nbread\napples\npears\ntwo soaps\n")
	})
	copies, err := filepath.Glob(one.path("notes (conflict*"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("conflict copies %q, %v", copies, err)
	}
	kept, texts := filepath.Base(copies[0]), ""
	for _, name := range []string{"notes.txt", kept} {
		b, err := os.ReadFile(two.path(name))
		if err != nil {
			t.Fatal(err)
		}
		texts += string(b)
	}
	if !strings.Contains(texts, "from one\n") || !strings.Contains(texts, "from two\n") {
		t.Errorf("the two versions are %q", texts)
	}
	for name, want := range map[string]string{
		"shopping.txt": "rice milk\nbread\napples\npears\ntwo soaps\n", "lots/zwei/f2": "file 2\nmore\n", "lots/d3/f3": "file 3\nkept\n",
		"lots/only-one": "new\n", "lots/only-two": "new\n",
	} {
		wantFile(t, one.path(name), []byte(want))
	}

	story("the conflict is settled", func() {
		two.run("conflicts", "keep", "copy", two.path(kept))
		eventually(t, "settled", func() bool {
			left, err := filepath.Glob(one.path("notes (conflict*"))
			return err == nil && len(left) == 0
		})
	})

	story("what was deleted comes back", func() {
		one.run("trash", "restore", "family:music")
		eventually(t, "back", func() bool { _, err := os.Stat(two.path("music/song.ogg")); return err == nil })
	})

	story("an older state comes back", func() {
		two.run("snapshot", "take", "family", "before")
		one.shell(`rm -r lots 'with space'; echo changed > shopping.txt`)
		equal(t, one, two)
		two.run("restore", "family:", "--version", snapshotVersion(t, two, "before"))
		one.everywhere("shopping.txt", "rice milk\nbread\napples\npears\ntwo soaps\n")
	})
	wantFile(t, one.path("lots/zwei/f2"), []byte("file 2\nmore\n"))

	story("undo", func() {
		one.write("shopping.txt", "nonsense\n")
		two.everywhere("shopping.txt", "nonsense\n")
		one.run("undo", "family")
		two.everywhere("shopping.txt", "rice milk\nbread\napples\npears\ntwo soaps\n")
	})

	story("killed while files go both ways", func() {
		one.shell(`mkdir sent; for i in $(seq 20); do head -c 2000000 /dev/urandom > sent/$i; done`)
		two.shell(`mkdir back; for i in $(seq 20); do head -c 2000000 /dev/urandom > back/$i; done`)
		eventually(t, "under way", func() bool {
			a, _ := filepath.Glob(two.path("sent/*"))
			b, _ := filepath.Glob(one.path("back/*"))
			return len(a) > 2 && len(b) > 2
		})
		two.node.kill()
		one.shell(`echo while two is away > lots/away`)
		two.shell(`rm -r back/1*; echo while the node is killed > lots/killed`)
		two.up()
		eventually(t, "under way again", func() bool { a, _ := filepath.Glob(two.path("sent/*")); return len(a) > 5 })
		one.node.kill()
		one.up()
	})
}

// snapshotVersion returns the version of a snapshot.
func snapshotVersion(t *testing.T, s *keeper, name string) string {
	t.Helper()
	for line := range strings.Lines(s.run("snapshot", "family")) {
		if _, after, ok := strings.Cut(line, "  version "); ok && strings.HasSuffix(strings.TrimSpace(line), "  "+name) {
			version, _, _ := strings.Cut(after, " ")
			return version
		}
	}
	t.Fatalf("no snapshot %q", name)
	return ""
}
