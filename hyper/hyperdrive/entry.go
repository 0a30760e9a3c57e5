package hyperdrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

// ErrEntry is the error of a stored entry that cannot be understood.
var ErrEntry = errors.New("hyperdrive: invalid entry")

// Entry is what the drive says about one path. It is either a file, with a blob
// unless it was written without content, or a symbolic link.
type Entry struct {
	// Path is clean, see [Clean], if the writer kept the rules.
	Path string
	// Seq is the position of the entry in the database's log: a larger one is
	// newer.
	Seq uint64
	// Executable is the permission to run the file.
	Executable bool
	// Linkname is the target of a symbolic link; empty for files.
	Linkname string
	// Blob is the content; nil for links and files without content.
	Blob *hyperblobs.ID
	// Metadata is any JSON value in compact form; nil stands for null.
	Metadata json.RawMessage
}

// IsLink tells whether the entry is a symbolic link.
func (e *Entry) IsLink() bool { return e.Linkname != "" }

// The stored form is JSON in exactly this order and without spaces, as
// JSON.stringify writes it:
//
//	{"executable":false,"linkname":null,"blob":{"blockOffset":0,"byteOffset":0,
//	"blockLength":1,"byteLength":11},"metadata":null}
//
// with ,"blockMap":true at the end of blob for mapped ones.
const (
	entryNotExecutable = `{"executable":false,"linkname":`
	entryExecutable    = `{"executable":true,"linkname":`
	entryBlob          = `,"blob":`
	entryMetadata      = `,"metadata":`
)

// appendEntry appends the stored form of e. Metadata must be in the form of
// appendStringified.
func appendEntry(b []byte, e *Entry) []byte {
	if e.Executable {
		b = append(b, entryExecutable...)
	} else {
		b = append(b, entryNotExecutable...)
	}
	if e.Linkname == "" {
		b = append(b, "null"...)
	} else {
		b = appendQuoted(b, e.Linkname)
	}
	b = append(b, entryBlob...)
	if e.Blob == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, `{"blockOffset":`...)
		b = strconv.AppendUint(b, e.Blob.BlockOffset, 10)
		b = append(b, `,"byteOffset":`...)
		b = strconv.AppendUint(b, e.Blob.ByteOffset, 10)
		b = append(b, `,"blockLength":`...)
		b = strconv.AppendUint(b, e.Blob.BlockLength, 10)
		b = append(b, `,"byteLength":`...)
		b = strconv.AppendUint(b, e.Blob.ByteLength, 10)
		if e.Blob.BlockMap {
			b = append(b, `,"blockMap":true`...)
		}
		b = append(b, '}')
	}
	b = append(b, entryMetadata...)
	if len(e.Metadata) == 0 {
		b = append(b, "null"...)
	} else {
		b = append(b, e.Metadata...)
	}
	return append(b, '}')
}

// decodeEntry reads the stored form into e, leaving Path and Seq. Any order of
// members, spaces, unknown members and a missing blockMap are accepted. The
// metadata refers to b.
func decodeEntry(b []byte, e *Entry) error {
	e.Executable, e.Linkname, e.Blob, e.Metadata = false, "", nil, nil
	s := scanner{b: b}
	s.members(func(name []byte) {
		switch string(name) {
		case "executable":
			e.Executable = s.truth()
		case "linkname":
			e.Linkname = s.optionalText()
		case "blob":
			e.Blob = s.blob()
		case "metadata":
			if e.Metadata = s.raw(); string(e.Metadata) == "null" {
				e.Metadata = nil
			}
		default:
			s.skip(0)
		}
	})
	if s.peek() != 0 || s.i < len(b) {
		s.fail(errJSON)
	}
	if s.err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, s.err)
	}
	return nil
}

// truth reads any value as JavaScript would in a condition.
func (s *scanner) truth() bool {
	switch raw := string(s.raw()); raw {
	case "false", "null", "0", "-0", `""`, "":
		return false
	default:
		return true
	}
}

func (s *scanner) optionalText() string {
	if s.peek() == 'n' {
		s.literal("null")
		return ""
	}
	return s.text()
}

// blob reads a blob ID or null.
func (s *scanner) blob() *hyperblobs.ID {
	if s.peek() == 'n' {
		s.literal("null")
		return nil
	}
	id := new(hyperblobs.ID)
	s.members(func(name []byte) {
		switch string(name) {
		case "blockOffset":
			id.BlockOffset = s.natural()
		case "byteOffset":
			id.ByteOffset = s.natural()
		case "blockLength":
			id.BlockLength = s.natural()
		case "byteLength":
			id.ByteLength = s.natural()
		case "blockMap":
			id.BlockMap = s.truth()
		default:
			s.skip(0)
		}
	})
	return id
}

// natural reads an integer from 0 to 2^53-1.
func (s *scanner) natural() uint64 {
	s.space()
	text := s.number()
	n := uint64(0)
	for _, c := range text {
		if c < '0' || c > '9' || n > compact.MaxUint {
			s.fail(fmt.Errorf("%q is no position", text))
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	if n > compact.MaxUint {
		s.fail(fmt.Errorf("%q is no position", text))
		return 0
	}
	return n
}

// encodeMetadata turns any value into the stored form. nil, and what encodes as
// null, become nil.
func encodeMetadata(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("encode metadata: %w", err)
		}
	}
	if len(text) == 0 {
		return nil, nil
	}
	out, err := appendStringified(nil, text)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	if string(out) == "null" {
		return nil, nil
	}
	return out, nil
}
