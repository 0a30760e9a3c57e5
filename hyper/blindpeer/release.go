package blindpeer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Methods that only our mirrors have: what is released of a log, and a statement about
// that.
const (
	methodReleased = "cloudpal-released"
	methodRelease  = "cloudpal-release"
)

const (
	// maxStatement bounds a statement, in bytes; maxRuns what its runs take.
	maxStatement = 64 << 10
	maxRuns      = 48 << 10
	// MaxDeputies bounds who may release blocks of a log beside its writer.
	MaxDeputies = 64
	// maxBlock bounds block numbers.
	maxBlock = 1 << 52
)

// statement says which blocks of a log are released: of those from From up to To exactly
// the ones in Runs. A later statement about them replaces it.
//
//	32 log, uint fork, uint time, uint from, uint to, runs, uint count, { 32 deputy } …,
//	then nothing, or 64 signature
//
//	runs    uint count, { uint blocks in between, uint blocks - 1 } …
type statement struct {
	Log      hypercrypto.Key
	Fork     uint64
	Time     uint64 // milliseconds since 1970; a later statement has a later one
	From, To uint64
	Runs     []hypercore.Run // sorted, within From and To, none touches another
	// Deputies are the keys of clients that may speak for the log, if it has a signature.
	Deputies  []hypercrypto.PublicKey
	Signature []byte // of the log's key pair; nil if a deputy or trusted client speaks
}

var nsRelease = hypercrypto.Namespace("cloudpal/blindpeer", 0)

func (s *statement) appendUnsigned(b []byte) []byte {
	b = append(b, s.Log[:]...)
	for _, n := range [...]uint64{s.Fork, s.Time, s.From, s.To} {
		b = compact.AppendUint(b, n)
	}
	b = appendRuns(b, s.From, s.Runs)
	return appendDeputies(b, s.Deputies)
}

func (s *statement) appendTo(b []byte) []byte { return append(s.appendUnsigned(b), s.Signature...) }

// signed is what is signed: namespace, 32 mirror, all before the signature. So a
// statement is good at one mirror.
func (s *statement) signed(mirror hypercrypto.PublicKey) []byte {
	return s.appendUnsigned(append(append([]byte(nil), nsRelease[:]...), mirror[:]...))
}

func decodeStatement(b []byte) (s statement, err error) {
	r := compact.NewReader(b)
	s.Log = r.Fixed32()
	s.Fork, s.Time, s.From, s.To = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	if s.From > s.To || s.To > maxBlock {
		r.Fail(errors.New("its blocks"))
	}
	s.Runs = readRuns(&r, s.From, s.To)
	s.Deputies = readDeputies(&r)
	switch rest := r.Raw(); len(rest) {
	case 0:
	case 64:
		s.Signature = slices.Clone(rest)
	default:
		r.Fail(errors.New("its signature"))
	}
	if err := r.Err(); err != nil {
		return statement{}, fmt.Errorf("%w: %s: %w", ErrMessage, methodRelease, err)
	}
	return s, nil
}

// appendRuns appends runs that begin at a block or later.
func appendRuns(b []byte, from uint64, runs []hypercore.Run) []byte {
	b = compact.AppendUint(b, uint64(len(runs)))
	for _, r := range runs {
		b = compact.AppendUint(compact.AppendUint(b, r.Start-from), r.End-r.Start-1)
		from = r.End
	}
	return b
}

func readRuns(r *compact.Reader, from, to uint64) (runs []hypercore.Run) {
	for range r.Count(2) {
		gap, more := r.Uint(), r.Uint()
		if r.Err() != nil {
			return nil
		}
		if len(runs) > 0 && gap == 0 || gap > to-from || more >= to-from-gap {
			r.Fail(errors.New("its runs"))
			return nil
		}
		runs = append(runs, hypercore.Run{Start: from + gap, End: from + gap + more + 1})
		from += gap + more + 1
	}
	return runs
}

func appendDeputies(b []byte, list []hypercrypto.PublicKey) []byte {
	b = compact.AppendUint(b, uint64(len(list)))
	for _, k := range list {
		b = append(b, k[:]...)
	}
	return b
}

func readDeputies(r *compact.Reader) (list []hypercrypto.PublicKey) {
	n := r.Count(32)
	if n > MaxDeputies {
		r.Fail(errors.New("too many deputies"))
		return nil
	}
	for range n {
		list = append(list, r.Fixed32())
	}
	return list
}

// releaseState is what a mirror answers about a log: uint time of the last statement, 0 if
// there was none, 32 hash of the runs of all blocks, 32 hash of the deputies.
type releaseState struct {
	Time           uint64
	Runs, Deputies hypercrypto.Hash
}

func (s *releaseState) appendTo(b []byte) []byte {
	return append(append(compact.AppendUint(b, s.Time), s.Runs[:]...), s.Deputies[:]...)
}

func decodeReleaseState(b []byte) (s releaseState, err error) {
	r := compact.NewReader(b)
	s = releaseState{r.Uint(), r.Fixed32(), r.Fixed32()}
	if err := r.Err(); err != nil {
		return s, fmt.Errorf("%w: %s: %w", ErrMessage, methodReleased, err)
	}
	return s, nil
}

func hashRuns(runs []hypercore.Run) hypercrypto.Hash {
	return hypercrypto.Sum(appendRuns(nil, 0, runs))
}

func hashDeputies(list []hypercrypto.PublicKey) hypercrypto.Hash {
	return hypercrypto.Sum(appendDeputies(nil, list))
}

// released is what a mirror remembers of a log, next to it:
//
//	uint version (1), uint fork, uint time, runs, uint count, { 32 deputy } …
type released struct {
	fork, time uint64
	runs       []hypercore.Run
	deputies   []hypercrypto.PublicKey

	// What bytes found once all was known; not stored.
	sized           bool
	sizedFrom, size uint64
}

const releasedVersion = 1

func (s *released) appendTo(b []byte) []byte {
	b = compact.AppendUint(compact.AppendUint(compact.AppendUint(b, releasedVersion), s.fork), s.time)
	return appendDeputies(appendRuns(b, 0, s.runs), s.deputies)
}

func decodeReleased(b []byte) (*released, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != releasedVersion {
		return nil, fmt.Errorf("blindpeer: released blocks of version %d are not known", v)
	}
	s := &released{fork: r.Uint(), time: r.Uint()}
	s.runs = readRuns(&r, 0, maxBlock)
	s.deputies = readDeputies(&r)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: stored released blocks: %w", ErrMessage, err)
	}
	return s, nil
}

func (s *released) state() releaseState {
	return releaseState{s.time, hashRuns(s.runs), hashDeputies(s.deputies)}
}

// replace makes a statement the truth about its blocks.
func (s *released) replace(from, to uint64, runs []hypercore.Run) {
	var list []hypercore.Run
	for _, r := range s.runs {
		if r.Start < from {
			list = append(list, hypercore.Run{Start: r.Start, End: min(r.End, from)})
		}
	}
	list = append(list, runs...)
	for _, r := range s.runs {
		if r.End > to {
			list = append(list, hypercore.Run{Start: max(r.Start, to), End: r.End})
		}
	}
	joined := list[:0]
	for _, r := range list {
		if n := len(joined); n > 0 && joined[n-1].End == r.Start {
			joined[n-1].End = r.End
		} else {
			joined = append(joined, r)
		}
	}
	s.runs = joined
}

// between returns the runs that lie between two blocks, cut to them.
func between(runs []hypercore.Run, from, to uint64) (list []hypercore.Run) {
	for _, r := range runs {
		if r.Start < to && r.End > from {
			list = append(list, hypercore.Run{Start: max(r.Start, from), End: min(r.End, to)})
		}
	}
	return list
}
