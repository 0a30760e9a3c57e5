package foldersync

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// The journal holds what changed since the table was written. An entry is
//
//	u32 length of the body, u32 its checksum, body
//
// and a body is an update: one or more of what is below, each with its letter in front.
// An update counts as a whole. What follows the last complete entry was lost in a crash
// and does not count.
const (
	journalPut    = 'p' // text path, record
	journalDelete = 'd' // text path
	journalNote   = 'n' // text key, text value
	journalMark   = 'm' // all files on disk are as durable as the entries before
	journalBoot   = 'b' // text id of the boot in which the next entries were written
)

const maxJournalBody = 128 << 20

// appendJournal appends an entry whose body write appends.
func appendJournal(b []byte, write func([]byte) []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, 8)...)
	b = write(b)
	body := b[at+8:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

// journalEntry is a part of a decoded body.
type journalEntry struct {
	op     byte
	record record // of journalPut; of journalDelete the path
	key    string
	value  []byte
}

func decodeJournal(body []byte) (list []journalEntry, err error) {
	for d := (decoder{b: body}); len(d.b) > 0; {
		e := d.journal()
		if d.err != nil {
			return nil, d.err
		}
		list = append(list, e)
	}
	return list, nil
}

func (d *decoder) journal() journalEntry {
	e := journalEntry{op: d.byte()}
	switch e.op {
	case journalPut:
		e.record = d.record(d.text())
	case journalDelete:
		e.record.path = d.text()
	case journalNote:
		e.key, e.value = d.text(), []byte(d.text())
	case journalBoot:
		e.key = d.text()
	case journalMark:
	default:
		d.fail()
	}
	return e
}

// readJournal calls fn for each entry and returns the length of what is complete. An entry
// that is not right and has others behind it was not lost in a crash: the journal is damaged.
func readJournal(f io.Reader, fn func(journalEntry)) (length int64, err error) {
	all, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	for rest := all; ; {
		length = int64(len(all) - len(rest))
		body, ok := journalBody(rest)
		if !ok {
			if moreJournal(rest) {
				return length, errJournal
			}
			return length, nil
		}
		list, err := decodeJournal(body)
		if err != nil {
			return length, errors.Join(errJournal, err)
		}
		for _, e := range list {
			fn(e)
		}
		rest = rest[8+len(body):]
	}
}

// journalBody returns the body of the entry that b begins with, if that is right.
func journalBody(b []byte) (body []byte, ok bool) {
	if len(b) < 8 {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxJournalBody || int(n) > len(b)-8 {
		return nil, false
	}
	body = b[8 : 8+n]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// moreJournal tells whether there is an entry anywhere behind the beginning of b.
func moreJournal(b []byte) bool {
	for len(b) > 9 {
		b = b[1:]
		if !bytes.ContainsRune(journalOps, rune(b[8])) {
			continue
		}
		if body, ok := journalBody(b); ok && len(body) > 0 {
			return true
		}
	}
	return false
}

var journalOps = []byte{journalPut, journalDelete, journalNote, journalMark, journalBoot}

var errJournal = errors.New("a journal entry that nobody wrote")
