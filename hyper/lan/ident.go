package lan

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Topic is what peers have in common, such as a discovery key. Whoever knows it
// can recognize announcements of it.
type Topic [32]byte

// label is the name of one set of announcements: random, new every hour.
type label [16]byte // hexadecimal digits

func newLabel() label {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return label(hex.AppendEncode(nil, b[:]))
}

// parseLabel reads a label in any case.
func parseLabel(s string) (l label, ok bool) {
	if len(s) != len(l) {
		return l, false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return l, false
		}
		l[i] = c
	}
	return l, true
}

// id stands for a topic under one label in one hour.
type id [8]byte

// epoch is the number of the hour that t is in.
func epoch(t time.Time) int64 { return t.Unix() / 3600 }

// idNamespace separates these hashes from all others of a topic.
var idNamespace = []byte("hyper/lan id")

// idOf is the keyed BLAKE2b of hour and label under the topic, cut to 8 bytes.
func idOf(t *Topic, epoch int64, l label) id {
	var hour [8]byte
	binary.BigEndian.PutUint64(hour[:], uint64(epoch))
	sum := hypercrypto.KeyedSum(t[:], idNamespace, hour[:], l[:])
	return id(sum[:len(id{})])
}

// names tells whether ids, sorted, hold the topic now, an hour ago or in an hour:
// clocks need not agree to the hour.
func names(ids []id, t *Topic, l label, now time.Time) bool {
	for e := epoch(now) - 1; e <= epoch(now)+1; e++ {
		if _, ok := slices.BinarySearchFunc(ids, idOf(t, e, l), compareIDs); ok {
			return true
		}
	}
	return false
}

func compareIDs(a, b id) int { return bytes.Compare(a[:], b[:]) }

// The TXT record: "v=1", then "t0=", "t1=" … each with up to idsPerString ids.
const (
	txtVersion   = "v=1"
	idsPerString = 31
	maxStrings   = 4
	// maxIDs keeps an announcement within one packet of any link.
	maxIDs = idsPerString * maxStrings
	// minIDs is what the number of ids is filled up to.
	minIDs = 4
)

// padded is how many ids are announced for n topics.
func padded(n int) int {
	size := minIDs
	for size < n {
		size *= 2
	}
	return min(size, maxIDs)
}

// encodeTXT makes the strings of a TXT record of at most maxIDs ids.
func encodeTXT(ids []id) []string {
	out := []string{txtVersion}
	for key := byte('0'); len(ids) > 0; key++ {
		n := min(len(ids), idsPerString)
		b := []byte{'t', key, '='}
		for _, id := range ids[:n] {
			b = append(b, id[:]...)
		}
		out, ids = append(out, string(b)), ids[n:]
	}
	return out
}

// decodeTXT reads the strings of a TXT record and returns the ids sorted. Strings
// with other keys are left for later versions.
func decodeTXT(txt []string) (ids []id, ok bool) {
	if len(txt) == 0 || txt[0] != txtVersion {
		return nil, false
	}
	for _, s := range txt[1:] {
		if len(s) < 3 || s[0] != 't' || s[1] < '0' || s[1] >= '0'+maxStrings || s[2] != '=' {
			continue
		}
		value := []byte(s[3:])
		if len(value)%len(id{}) != 0 || len(ids)+len(value)/len(id{}) > maxIDs {
			return nil, false
		}
		for c := range slices.Chunk(value, len(id{})) {
			ids = append(ids, id(c))
		}
	}
	slices.SortFunc(ids, compareIDs)
	return ids, len(ids) > 0
}
