package interop

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"
)

const (
	bigSize = 2<<30 + 123_456
	bigPage = 32 << 10
)

// bigFile is a reader of the large test file: zeros, but each page of 32 KiB begins with its number, so that no two parts
// of it are alike. js/drive-peer.js makes the same.
type bigFile struct{ at int64 }

func (f *bigFile) Read(p []byte) (int, error) {
	if f.at >= bigSize {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), bigSize-f.at)]
	bigBytes(p, f.at)
	f.at += int64(len(p))
	return len(p), nil
}

// bigBytes fills p with the content at offset.
func bigBytes(p []byte, offset int64) {
	clear(p)
	for page := offset / bigPage; page*bigPage < offset+int64(len(p)); page++ {
		var mark [8]byte
		binary.LittleEndian.PutUint64(mark[:], uint64(page)+1)
		if from := page*bigPage - offset; from >= 0 {
			copy(p[from:], mark[:])
		} else if -from < 8 {
			copy(p, mark[-from:])
		}
	}
}

// The middle of a file beyond 2 GiB is read without fetching the rest.
func TestMiddleOfHugeFile(t *testing.T) {
	const offset, length = 1<<31 - 90_000, 200_000 // across the 2 GiB line
	want := make([]byte, length)
	bigBytes(want, offset)

	t.Run("of a peer", func(t *testing.T) {
		n := startPeer(t, Hypercore11, "drive-peer.js", "drives", seedHex(7))
		key := n.Call(t, "drive", Args{"drive": "d"}).Str("key")
		start := time.Now()
		size := n.Call(t, "big", Args{"drive": "d", "path": "/big", "size": uint64(bigSize), "page": bigPage}).Num("size")
		t.Logf("the peer wrote %d bytes in %v", size, time.Since(start).Round(time.Millisecond))
		h := newStoreHub(t, 0)
		d := h.remoteDrive(t, key)
		h.connect(t, n, dialing)
		until(t, d.Core(), "the drive", func() bool { return d.Version() == 2 })
		blobs, err := d.Blobs(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		before := blobs.Core().Info().BlocksDownloaded
		start = time.Now()
		if got := readMiddle(t, d.View, "/big", offset, length); !slices.Equal(got, want) {
			t.Fatal("other bytes are in the middle")
		}
		down := blobs.Core().Info().BlocksDownloaded - before
		t.Logf("%d bytes were read in %v with %d of %d blocks", length, time.Since(start).Round(time.Millisecond), down, blobs.Core().Length())
		if down > 20 {
			t.Fatalf("%d bytes cost %d blocks", length, down)
		}
	})
	t.Run("of ours", func(t *testing.T) {
		h := newStoreHub(t, 7)
		d := h.openDrive(t, "d", nil)
		start := time.Now()
		if err := d.PutFrom(testContext(t), "/big", &bigFile{}, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("we wrote %d bytes in %v", int64(bigSize), time.Since(start).Round(time.Millisecond))
		n := startPeer(t, Hypercore11, "drive-peer.js", "drives")
		n.Call(t, "drive", Args{"drive": "d", "key": d.Key().Hex()})
		h.connect(t, n, dialing)
		n.Call(t, "drivewait", Args{"drive": "d", "version": d.Version()})
		info := n.Call(t, "driveinfo", Args{"drive": "d"}) // opens the contents, to count
		before := n.Call(t, "counts", Args{"core": "d/blobs"}).Num("downloaded")
		start = time.Now()
		e := n.Call(t, "read", Args{"drive": "d", "path": "/big", "start": offset, "length": length})
		if e.Str("sha256") != shaHex(want) {
			t.Fatalf("the peer reads %d other bytes", e.Num("size"))
		}
		down := n.Call(t, "counts", Args{"core": "d/blobs"}).Num("downloaded") - before
		t.Logf("the peer read %d bytes in %v with %d of %d blocks", length, time.Since(start).Round(time.Millisecond), down, info.Num("blobsLength"))
		// The map of the chunks comes whole, and JavaScript reads ahead by some megabytes.
		if down > 400 {
			t.Fatalf("%d bytes cost the peer %d blocks", length, down)
		}
	})
}
