package blindpeer

import (
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Record is what a mirror knows of a log.
type Record struct {
	Key    hypercrypto.Key
	Length uint64 // blocks of the log, those that were dropped included
	// Bytes is what the blocks take that are kept or wanted.
	Bytes    uint64
	Updated  time.Time // when it grew, to the millisecond
	Active   time.Time // when blocks of it last came or went
	Priority uint64
	Announce bool
	// Referrer groups logs: the key of the base they belong to. Nil for none.
	Referrer *hypercrypto.Key
	// BlocksCleared and BytesCleared are what was dropped to make room, from the
	// first block on. Later blocks are kept.
	BlocksCleared, BytesCleared uint64
}

// appendTo appends a record as it travels:
//
//	32 key, uint length, uint bytes, uint updated, uint active, uint priority,
//	uint flags (1 announce, 2 referrer, 4 blocks cleared, 8 bytes cleared),
//	[32 referrer], [uint blocks cleared], [uint bytes cleared]
//
// Times are milliseconds since 1970.
func (e *Record) appendTo(b []byte) []byte {
	b = append(b, e.Key[:]...)
	for _, n := range [...]uint64{e.Length, e.Bytes, millis(e.Updated), millis(e.Active), e.Priority} {
		b = compact.AppendUint(b, n)
	}
	var flags uint64
	if e.Announce {
		flags |= 1
	}
	if e.Referrer != nil {
		flags |= 2
	}
	if e.BlocksCleared != 0 {
		flags |= 4
	}
	if e.BytesCleared != 0 {
		flags |= 8
	}
	b = compact.AppendUint(b, flags)
	if e.Referrer != nil {
		b = append(b, e.Referrer[:]...)
	}
	if e.BlocksCleared != 0 {
		b = compact.AppendUint(b, e.BlocksCleared)
	}
	if e.BytesCleared != 0 {
		b = compact.AppendUint(b, e.BytesCleared)
	}
	return b
}

func readRecord(r *compact.Reader) (e Record) {
	e.Key = r.Fixed32()
	e.Length, e.Bytes = r.Uint(), r.Uint()
	e.Updated, e.Active = moment(r.Uint()), moment(r.Uint())
	e.Priority = r.Uint()
	flags := r.Uint()
	e.Announce = flags&1 != 0
	if flags&2 != 0 {
		k := hypercrypto.Key(r.Fixed32())
		e.Referrer = &k
	}
	if flags&4 != 0 {
		e.BlocksCleared = r.Uint()
	}
	if flags&8 != 0 {
		e.BytesCleared = r.Uint()
	}
	return e
}

func decodeRecord(b []byte) (Record, error) {
	r := compact.NewReader(b)
	e := readRecord(&r)
	if err := r.Err(); err != nil {
		return Record{}, fmt.Errorf("%w: record: %w", ErrMessage, err)
	}
	return e, nil
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixMilli(), 0))
}

func moment(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}
