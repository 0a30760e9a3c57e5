package handoff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// receiver is the side that gets.
type receiver struct {
	dest   string
	device string
	watch  Watcher

	accepted string // the id of the offer that was accepted
	offer    offer
	problems []string // entries that did not arrive
	lost     int      // how many
	names    []string // of what is in its place
	progress Progress
}

// maxProblems limits what is remembered of entries that did not arrive.
const maxProblems = 100

// run receives everything over one connection. It may be called again over the
// next one when that breaks.
func (r *receiver) run(ctx context.Context, conn *secretstream.Conn) (err error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer func() {
		// Faults are ours; what is left has happened to the connection.
		if err != nil && errors.As(err, new(*fault.Error)) {
			_ = fail(conn, err)
		}
	}()
	var o offer
	if err := receiveJSON(conn, kindOffer, &o); err != nil {
		return err
	}
	if !validID(o.ID) || len(o.Items) > maxItems {
		return protocolError("an offer that is none")
	}
	if o.ID != r.accepted {
		ok, err := r.ask(ctx, conn, &o)
		if err != nil {
			return err
		}
		if !ok {
			if err := sendJSON(conn, kindAnswer, answer{Device: r.device}); err != nil {
				return err
			}
			finish(conn)
			return &declined{}
		}
		r.accepted, r.offer = o.ID, o
	}
	st, err := openStaging(r.dest, o.ID)
	if err != nil {
		return asFault(err)
	}
	defer st.close()
	if err := r.entries(conn, st); err != nil {
		return err
	}
	if r.names, err = st.place(ctx); err != nil {
		return asFault(err)
	}
	if err := send(conn, kindDone, nil); err != nil {
		return nil // everything is here; that the other side does not know is its loss
	}
	finish(conn)
	return nil
}

// declined ends a transfer that this side did not want. It is no failure.
type declined struct{}

func (*declined) Error() string { return "declined" }

// ask lets a person decide, unless the other side goes away meanwhile.
func (r *receiver) ask(ctx context.Context, conn *secretstream.Conn, o *offer) (bool, error) {
	shown := Offer{Device: printable(o.Device, maxDevice), Files: o.Files, Bytes: o.Bytes, Count: o.Count}
	for _, i := range o.Items {
		shown.Items = append(shown.Items, Item{printable(i.Name, maxElement), i.Folder, i.Bytes})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _, err := receive(conn)
		if err == nil {
			err = protocolError("a message before the answer")
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, secretstream.ErrTimeout) {
			cancel(err)
		}
	}()
	ok, err := r.watch.offer(ctx, shown)
	_ = conn.SetReadDeadline(time.Now()) // a closed connection has ended the read
	<-gone
	cause := context.Cause(ctx)
	cancel(nil)
	_ = conn.SetReadDeadline(time.Time{})
	if cause != nil {
		return false, cause
	}
	return ok, err
}

// entries receives what is missing in st.
func (r *receiver) entries(conn *secretstream.Conn, st *staging) error {
	if st.entries > r.offer.Entries {
		return fault.New(fault.Corrupt, "%s holds %d entries of %d", st.name, st.entries, r.offer.Entries).Hint("remove that folder, and run the command again")
	}
	f, offset, err := st.partial()
	if err != nil {
		return asFault(err)
	}
	in := &incoming{receiver: r, st: st, file: f}
	defer func() {
		if in.file != nil {
			in.file.Close()
		}
	}()
	r.progress = Progress{Files: st.files, TotalFiles: r.offer.Files, Bytes: st.bytes, TotalBytes: r.offer.Bytes}
	if err := sendJSON(conn, kindAnswer, answer{Device: r.device, Accept: true, Entry: st.entries, Offset: offset}); err != nil {
		return err
	}
	for {
		k, b, err := receive(conn)
		if err != nil {
			return err
		}
		if k == kindAll {
			break
		}
		if err := in.handle(k, b, offset); err != nil {
			return asFault(err)
		}
		if k != kindEntry {
			continue
		}
		offset = 0
	}
	if in.now != nil || st.entries != r.offer.Entries {
		return protocolError("it ends after %d entries of %d", st.entries, r.offer.Entries)
	}
	return nil
}

// incoming is a transfer between two messages.
type incoming struct {
	*receiver
	st   *staging
	now  *entry // the file that is being received
	file *os.File
	size uint64 // of what is in file
	hash hash.Hash
}

func (in *incoming) handle(k kind, b []byte, offset uint64) error {
	switch {
	case k == kindEntry && in.now == nil:
		return in.begin(b, offset)
	case k == kindData && in.now != nil:
		return in.data(b)
	case k == kindEnd && in.now != nil:
		return in.end(b)
	case k == kindVoid && in.now != nil:
		return in.void(b)
	}
	return protocolError("message %d out of turn", k)
}

func (in *incoming) begin(b []byte, offset uint64) error {
	var e entry
	if err := decode(b, &e); err != nil {
		return err
	}
	if in.st.entries >= in.offer.Entries {
		return protocolError("more than the %d entries that were offered", in.offer.Entries)
	}
	if err := checkPath(e.Path); err != nil {
		return fault.Wrap(fault.Unsafe, err)
	}
	switch e.Kind {
	case "folder":
		if err := in.st.folder(e.Path); err != nil {
			return err
		}
		return in.st.complete(&e)
	case "link":
		if err := checkLink(e.Path, e.Target); err != nil {
			return fault.Wrap(fault.Unsafe, err)
		}
		if err := in.st.link(&e); err != nil {
			// Not every file system has links.
			in.problem(e.Path, err)
		}
		return in.st.complete(&e)
	case "":
	default:
		return protocolError("an entry of the kind %q", printable(e.Kind, 20))
	}
	if e.Size > in.offer.Bytes-min(in.st.bytes, in.offer.Bytes) {
		return protocolError("more than the %d bytes that were offered", in.offer.Bytes)
	}
	in.now, in.hash, in.size = &e, newHash(), 0
	return in.openPartial(offset)
}

// openPartial makes the partial file hold the first offset bytes, and hashes them.
func (in *incoming) openPartial(offset uint64) error {
	if in.file == nil {
		f, _, err := in.st.partial()
		if err != nil {
			return err
		}
		in.file = f
	}
	if offset > in.now.Size {
		offset = 0
	}
	if err := in.file.Truncate(int64(offset)); err != nil {
		return err
	}
	if _, err := in.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(in.hash, in.file)
	if err != nil {
		return err
	}
	in.size = uint64(n)
	in.progress.Bytes += in.size
	return nil
}

func (in *incoming) data(b []byte) error {
	if in.size+uint64(len(b)) > in.now.Size {
		return protocolError("more bytes than the file has")
	}
	if _, err := in.file.Write(b); err != nil {
		return err
	}
	in.hash.Write(b)
	in.size += uint64(len(b))
	in.progress.Bytes += uint64(len(b))
	in.watch.progress(in.progress)
	return nil
}

func (in *incoming) end(sum []byte) error {
	if in.size != in.now.Size || !bytes.Equal(sum, in.hash.Sum(nil)) {
		in.drop()
		return fault.New(fault.Corrupt, "%s did not arrive as it was sent", printable(in.now.Path, 200)).
			Hint("run the command again on both sides; what has arrived is kept")
	}
	// The count must never be ahead of the disk.
	if err := in.file.Sync(); err != nil {
		return err
	}
	if err := in.file.Close(); err != nil {
		return err
	}
	in.file = nil
	if err := in.st.file(in.now); err != nil {
		return err
	}
	e := in.now
	in.now = nil
	in.progress.Files++
	in.watch.progress(in.progress)
	return in.st.complete(e)
}

func (in *incoming) void(b []byte) error {
	var f failure
	if err := decode(b, &f); err != nil {
		return err
	}
	in.problem(in.now.Path, errors.New(printable(f.Message, 300)))
	in.progress.Bytes -= in.size
	in.progress.TotalBytes -= in.now.Size
	in.progress.TotalFiles--
	in.drop()
	in.now = nil
	return in.st.complete(nil)
}

// drop forgets the partial file.
func (in *incoming) drop() {
	if in.file != nil {
		in.file.Close()
		in.file = nil
	}
	if err := in.st.dropPartial(); err != nil {
		in.watch.warn(partialName, err)
	}
}

func (r *receiver) problem(path string, err error) {
	if r.lost++; len(r.problems) < maxProblems {
		r.problems = append(r.problems, printable(path, 200)+": "+err.Error())
	}
	r.watch.warn(printable(path, 200), err)
}

// result is the error of a transfer that is complete.
func (r *receiver) result() error {
	switch r.lost {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Conflict, "one entry did not arrive: %s", r.problems[0]).Hint("everything else is there")
	}
	return fault.New(fault.Conflict, "%d entries did not arrive, the first is %s", r.lost, r.problems[0]).Hint("everything else is there")
}

// asFault gives the errors of this side's disk a kind, so that they are told from
// those of the connection.
func asFault(err error) error {
	if err == nil || errors.As(err, new(*fault.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(fault.KindOf(err), fmt.Errorf("write: %w", err))
}
