package interop

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// job is an operation log for js/oplog-peer.js, which explains the operations.
type job struct {
	Kind            string  `json:"kind"`
	Name            string  `json:"name"`
	Encryption      string  `json:"encryption,omitempty"`
	AlwaysDuplicate bool    `json:"alwaysDuplicate"`
	Ops             [][]any `json:"ops"`
}

func (j *job) String() string {
	b, _ := json.Marshal(j)
	return string(b)
}

func (j *job) add(op ...any) { j.Ops = append(j.Ops, op) }

// newJob makes the operation log of a seed.
func newJob(seed uint32) *job {
	r := newPRNG(seed * 2654435761)
	for range 4 {
		r.next() // neighbouring seeds begin alike
	}
	j := &job{Name: fmt.Sprintf("job-%d", seed), AlwaysDuplicate: true}
	if r.below(8) == 0 {
		j.Encryption = fmt.Sprintf("%064x", seed)
	}
	switch k := r.below(10); {
	case k < 6:
		j.Kind = "bee"
		j.beeOps(r)
	case k < 8:
		j.Kind = "core"
		j.coreOps(r)
	default:
		j.Kind = "drive"
		j.driveOps(r)
	}
	return j
}

// coreOps clears nothing: clear changes no hash, and that of 11.37.1 can hang; see
// the tests of cleared blocks.
func (j *job) coreOps(r *prng) {
	length := 0
	for range 3 + r.below(15) {
		switch k := r.below(8); {
		case k == 0 && length > 0:
			length -= int(r.below(uint32(min(length, 20)) + 1))
			j.add("truncate", length)
		default:
			op := []any{"append"}
			for range 1 + r.below(12) {
				op = append(op, hex.EncodeToString(prngBytes(r.next(), int(r.below(200)))))
				length++
			}
			j.add(op...)
		}
	}
}

func (j *job) beeOps(r *prng) {
	j.AlwaysDuplicate = r.below(4) != 0
	space := 1 + r.below(120)
	inBatch := false
	key := func() string {
		if r.below(40) == 0 {
			return "" // the empty key
		}
		k := fmt.Appendf(nil, "k%05d", r.below(space))
		if r.below(10) == 0 {
			k = append(k, 0, byte(r.next()))
		}
		return hex.EncodeToString(k)
	}
	withCAS := func(op []any) []any {
		switch r.below(8) {
		case 0:
			return append(op, true)
		case 1:
			return append(op, false)
		}
		return op
	}
	for i := range 5 + r.below(60) {
		switch k := r.below(24); {
		case k == 0 && !inBatch:
			j.add("batch")
			inBatch = true
		case k < 2 && inBatch:
			inBatch = false
			if r.below(4) == 0 {
				j.add("close")
			} else {
				j.add("flush")
			}
		case k == 2 && !inBatch && r.below(2) == 0:
			j.add("back", 1+r.below(6))
		case k < 6:
			j.add("get", key())
		case k < 11:
			j.add(withCAS([]any{"del", key()})...)
		default:
			var value any
			switch r.below(16) {
			case 0:
			case 1:
				value = ""
			case 2:
				value = hex.EncodeToString([]byte("the same"))
			default:
				value = hex.EncodeToString(fmt.Appendf(nil, "v%d-%s", i, prngBytes(r.next(), int(r.below(60)))))
			}
			j.add(withCAS([]any{"put", key(), value})...)
		}
	}
	if inBatch {
		j.add("flush")
	}
}

func (j *job) driveOps(r *prng) {
	j.AlwaysDuplicate = false
	var inBatch map[uint32]bool // paths that the batch under way has changed: once each
	for range 4 + r.below(14) {
		n := r.below(12)
		path := fmt.Sprintf("/%c/file-%d", 'a'+n%3, n)
		op := r.below(12)
		if inBatch != nil && op > 2 {
			if inBatch[n] {
				continue
			}
			inBatch[n] = true
		}
		switch {
		case op == 0 && inBatch == nil:
			j.add("batch")
			inBatch = map[uint32]bool{}
		case op <= 1 && inBatch != nil:
			inBatch = nil
			if r.below(4) == 0 {
				j.add("flush") // JavaScript keeps the contents of a batch that is given up, we do not
			} else {
				j.add("flush")
			}
		case op <= 2:
			if inBatch == nil {
				j.add("back", 1+r.below(4))
			}
		case op == 3:
			j.add("symlink", path, "/a/file-0")
		case op <= 5:
			j.add("del", path)
		default:
			size := r.below(3000)
			if r.below(12) == 0 {
				size = 60_000 + r.below(100_000)
			}
			var metadata any
			if r.below(3) == 0 {
				metadata = map[string]any{"n": r.below(1000), "s": "<é&\u2028>"}
			}
			j.add("put", path, 1+r.below(1_000_000), size, r.below(2) == 0, metadata)
		}
	}
	if inBatch != nil {
		j.add("flush")
	}
}
