package hyperblobs

import "github.com/tradle/cloudpal/hyper/internal/rabin"

// A cutter finds where chunks end. cut returns the length of the first chunk of
// b, which must be all the bytes that are left or at least max of them.
type cutter struct {
	cut func(b []byte) int
	max int
	buf int // size of a read buffer that keeps the copied remainders small
}

var (
	gearCutter  = &cutter{cut: gearCut, max: gearMax, buf: groupBytes}
	rabinCutter = &cutter{cut: rabin.Cut, max: rabin.MaxSize, buf: 2 * rabin.MaxSize}
)

// gearEntries is how many chunks are cut small. A map has room for as many again
// of the large cuts: 40 GiB in small chunks and then hundreds more.
const gearEntries = maxMapEntries / 2

// cutterFor returns the cutter that shares most blocks with a previous version.
func cutterFor(base []Piece) *cutter {
	if cutByMirrorDrive(base) {
		return rabinCutter
	}
	return gearCutter
}

// cutByMirrorDrive tells whether the pieces are cut as mirror-drive cuts: all but
// the last at least 512 KiB, which our own cuts never are.
func cutByMirrorDrive(pieces []Piece) bool {
	if len(pieces) == 0 || pieces[0].Length <= gearMax && len(pieces) == 1 {
		return false
	}
	for _, p := range pieces[:len(pieces)-1] {
		if p.Length < rabin.MinSize {
			return false
		}
	}
	return true
}
