package interop

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// portOf returns the port of the first address of an event.
func portOf(t testing.TB, e Event) int {
	t.Helper()
	addresses := e.List("listen")
	if len(addresses) == 0 {
		t.Fatalf("no address in %v", e)
	}
	u, err := url.Parse(addresses[0].(string))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestPeerMirrorsAShare shares a folder with the program and mirrors it with Hyperdrive, then follows a change.
func TestPeerMirrorsAShare(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) {
			src, files := t.TempDir(), sampleFiles()
			writeFiles(t, src, files)
			if err := os.Symlink("a.txt", filepath.Join(src, "link")); err != nil {
				t.Fatal(err)
			}
			args := []string{"share", src, "--listen", "tcp://127.0.0.1:0"}
			if encrypted {
				args = append(args, "--encrypted")
			}
			share := startCloudpal(t, t.TempDir(), args...)
			shared := share.Wait(t, "shared", nil)

			n := startPeer(t, Hypercore11, "drive-peer.js", "drives")
			open := Args{"drive": "d", "key": shared.Str("key")}
			if _, secret, ok := strings.Cut(shared.Str("link"), "?encryption="); ok {
				open["encryption"] = parseKey(t, secret).Hex()
			}
			if encrypted != (open["encryption"] != nil) {
				t.Fatalf("the link is %s", shared.Str("link"))
			}
			n.Call(t, "drive", open)
			n.Call(t, "connect", Args{"port": portOf(t, shared), "keep": true})
			n.Call(t, "drivewait", Args{"drive": "d", "version": shared.Num("version")})
			out := t.TempDir()
			n.Call(t, "export", Args{"drive": "d", "dir": out})
			wantFolder(t, out, files, map[string]string{"/link": "a.txt"})

			// A change on disk is a new version, which the peer gets by itself.
			files["/a.txt"] = []byte("hello again")
			files["/added.bin"] = prngBytes(55, 200_000)
			delete(files, "/many/03")
			writeFiles(t, src, map[string][]byte{"/a.txt": files["/a.txt"], "/added.bin": files["/added.bin"]})
			if err := os.Remove(filepath.Join(src, "many", "03")); err != nil {
				t.Fatal(err)
			}
			// The changes may come in more than one version, and a file may be seen before all of
			// it is written.
			for last := false; !last; {
				version := share.Wait(t, "updated", nil).Num("version")
				n.Call(t, "drivewait", Args{"drive": "d", "version": version})
				n.Call(t, "export", Args{"drive": "d", "dir": out})
				last = holds(out, files)
			}
			wantFolder(t, out, files, map[string]string{"/link": "a.txt"})
			share.Interrupt(t)
		})
	}
}

// TestGetFromPeer fetches a drive that Hyperdrive made, from a peer that listens, and again after it has changed.
func TestGetFromPeer(t *testing.T) {
	src, files := t.TempDir(), sampleFiles()
	writeFiles(t, src, files)
	if err := os.Symlink("a.txt", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
	made := n.Call(t, "drive", Args{"drive": "d"})
	n.Call(t, "import", Args{"drive": "d", "dir": src})
	first := n.Call(t, "driveinfo", Args{"drive": "d"}).Num("version")
	port := n.Call(t, "listen", Args{}).Num("port")
	address := fmt.Sprintf("tcp://127.0.0.1:%d", port)

	home, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	link := "hyper://" + made.Str("id")
	get := startCloudpal(t, home, "get", link, out, "--peer", address)
	got := get.Wait(t, "got", nil)
	get.End(t)
	if got.Num("version") != first || got.Num("files") != uint64(len(files))+1 {
		t.Errorf("got %v", got)
	}
	wantFolder(t, out, files, map[string]string{"/link": "a.txt"})

	// The newer state replaces it, removals included.
	n.Call(t, "put", Args{"drive": "d", "path": "/a.txt", "text": "hello again"})
	n.Call(t, "del", Args{"drive": "d", "path": "/many/03"})
	old := files["/a.txt"]
	files["/a.txt"] = []byte("hello again")
	delete(files, "/many/03")
	// Who has the drive already asks for news for a moment only.
	eventually(t, "the newer state", func() bool {
		get = startCloudpal(t, home, "get", link, out, "--peer", address)
		got = get.Wait(t, "got", nil)
		get.End(t)
		return got.Num("version") == first+2
	})
	wantFolder(t, out, files, map[string]string{"/link": "a.txt"})

	// One file of the older version, and the middle of a large one.
	part := filepath.Join(t.TempDir(), "part")
	get = startCloudpal(t, home, "get", link+"/a.txt", part+"/", "--version", strconv.FormatUint(first, 10), "--peer", address)
	get.Wait(t, "got", nil)
	get.End(t)
	wantFolder(t, part, map[string][]byte{"/a.txt": old}, nil)
	cat := exec.Command(buildCloudpal(t), "cat", link+"/large.bin", "--range", "2000000-2000099", "--peer", address)
	cat.Env = append(os.Environ(), "CLOUDPAL_HOME="+t.TempDir())
	middle, err := cat.Output()
	if want := files["/large.bin"][2_000_000:2_000_100]; err != nil || !bytes.Equal(middle, want) {
		t.Errorf("the middle is %x, want %x: %v", middle, want, err)
	}
}
