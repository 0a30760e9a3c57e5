package handoff

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// kind is the first byte of a message.
type kind byte

const (
	kindHello  kind = 1  // both: version, flags, share
	kindTag    kind = 2  // both: confirmation
	kindRefuse kind = 3  // host: reason
	kindOffer  kind = 4  // sender: offer
	kindAnswer kind = 5  // receiver: answer
	kindEntry  kind = 6  // sender: entry
	kindData   kind = 7  // sender: bytes of the entry
	kindEnd    kind = 8  // sender: hash of the entry's contents
	kindVoid   kind = 9  // sender: the entry is not to be had, why
	kindAll    kind = 10 // sender: that was all
	kindDone   kind = 11 // receiver: everything is in its place
	kindFailed kind = 12 // both: why it ends
	kindNote   kind = 13 // sender: note; the receiver answers it with kindDone and an empty note
)

// Limits of messages in bytes.
const (
	maxControl = 64 << 10
	chunk      = 256 << 10 // of data
)

// offer describes what is going to be sent.
type offer struct {
	Device string `json:"device"`
	// ID is the same when the same files are sent again.
	ID    string `json:"id"`
	Files uint64 `json:"files"`
	Bytes uint64 `json:"bytes"`
	// Entries counts files, folders and links.
	Entries uint64 `json:"entries"`
	// Items are the first of the files and folders that were named; Count is how
	// many there are.
	Items []item `json:"items"`
	Count uint64 `json:"count"`
}

type item struct {
	Name   string `json:"name"`
	Folder bool   `json:"folder,omitempty"`
	Bytes  uint64 `json:"bytes"`
}

// answer says whether the offer is welcome, and where to begin.
type answer struct {
	Device string `json:"device"`
	Accept bool   `json:"accept"`
	// Entry is the number of entries that are here from an earlier attempt, Offset
	// the number of bytes of the next one.
	Entry  uint64 `json:"entry,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
}

// entry is one file, folder or link. A folder comes before what it holds.
type entry struct {
	Path string `json:"path"`
	// Kind is empty for a file, else "folder" or "link".
	Kind       string    `json:"kind,omitempty"`
	Size       uint64    `json:"size,omitempty"`
	Executable bool      `json:"executable,omitempty"`
	Modified   time.Time `json:"modified,omitzero"`
	Target     string    `json:"target,omitempty"`
}

// failure is why a side ends.
type failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

// send sends one message.
func send(c *secretstream.Conn, k kind, payload []byte) error {
	_, err := c.Write(append([]byte{byte(k)}, payload...))
	return err
}

// sendJSON sends one message with a JSON object.
func sendJSON(c *secretstream.Conn, k kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(b) > maxControl {
		return fault.New(fault.Usage, "a message of %d bytes is too long", len(b))
	}
	return send(c, k, b)
}

// receive reads one message. The payload is valid until the next call.
func receive(c *secretstream.Conn) (kind, []byte, error) {
	b, err := c.ReadFrame()
	if err != nil {
		return 0, nil, err
	}
	k := kind(b[0])
	if limit := maxControl; k != kindData && len(b) > limit+1 || k == kindData && len(b) > chunk+1 {
		return 0, nil, protocolError("a message of %d bytes", len(b))
	}
	if k == kindFailed {
		var f failure
		if err := decode(b[1:], &f); err != nil {
			return 0, nil, err
		}
		return 0, nil, fault.New(fault.ParseKind(f.Kind), "the other side: %s", printable(f.Message, 300))
	}
	return k, b[1:], nil
}

// receiveJSON reads a message of the kind k.
func receiveJSON(c *secretstream.Conn, k kind, into any) error {
	got, b, err := receive(c)
	if err != nil {
		return err
	}
	if got != k {
		return protocolError("message %d instead of %d", got, k)
	}
	return decode(b, into)
}

func decode(b []byte, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return protocolError("%v", err)
	}
	return nil
}

// protocolError is about a side that does not speak as it must.
func protocolError(format string, args ...any) error {
	return fault.New(fault.Corrupt, "the other side does not keep to the protocol: %s", fmt.Sprintf(format, args...))
}

// printable makes a text from the other side fit to be shown.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
