package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
)

func (h *handler) drives(ctx context.Context, _ DrivesRequest, s *Stream) error {
	list, err := h.Files.Summaries(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := s.Send(TypeDrive, Drive{TypeDrive, d.Name, d.Link, d.Path, d.Writable, d.EncryptionKey != nil, d.Version, d.Bytes, d.Held}); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) list(ctx context.Context, r ListRequest, s *Stream) error {
	if t, ok, err := h.ofSpace(r.Ref, r.Dir); err != nil || ok {
		return orElse(err, func() error { return h.listSpace(ctx, t, &r, s) })
	}
	reading, done, err := h.open(ctx, r.Connect, r.Target, s)
	if err != nil {
		return err
	}
	defer done()
	for e, err := range reading.List(r.Recursive) {
		if err != nil {
			return err
		}
		out := Entry{Type: TypeEntry, Path: e.Path, Kind: "file", Size: e.Size, Executable: e.Executable, Linkname: e.Linkname, Modified: e.Modified}
		switch {
		case e.Folder:
			out.Kind = "folder"
		case e.Linkname != "":
			out.Kind = "symlink"
		}
		if err := s.Send(TypeEntry, out); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) history(ctx context.Context, r HistoryRequest, s *Stream) error {
	if t, ok, err := h.ofSpace(r.Ref, r.Dir); err != nil || ok {
		return orElse(err, func() error { return h.historyOfSpace(ctx, t, &r, s) })
	}
	reading, done, err := h.open(ctx, r.Connect, r.Target, s)
	if err != nil {
		return err
	}
	defer done()
	n := uint64(0)
	for v, err := range reading.History() {
		if err != nil {
			return err
		}
		out := Version{Type: TypeVersion, Version: v.Version, Time: v.Time, Author: v.Author, Omitted: v.Omitted, Changes: []Change{}}
		for _, c := range v.Changes {
			out.Changes = append(out.Changes, changeOf(c))
		}
		if err := s.Send(TypeVersion, out); err != nil {
			return err
		}
		if n++; n == r.Limit {
			return nil
		}
	}
	return nil
}

// orElse returns err, or else what then returns.
func orElse(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func changeOf(c files.Change) Change {
	return Change{Type: TypeChange, Op: c.Op, Path: c.Path, Size: c.Size, SizeBefore: c.SizeBefore}
}

func (h *handler) diff(ctx context.Context, r DiffRequest, s *Stream) error {
	if r.From.Version > 0 && !r.From.At.IsZero() {
		return fault.New(fault.Usage, "a version and a time cannot be asked for together")
	}
	if t, ok, err := h.ofSpace(r.Ref, r.Dir); err != nil || ok {
		return orElse(err, func() error { return h.diffOfSpace(ctx, t, &r, s) })
	}
	from, err := r.From.ofDrive()
	if err != nil {
		return err
	}
	reading, done, err := h.open(ctx, r.Connect, r.Target, s)
	if err != nil {
		return err
	}
	defer done()
	for c, err := range reading.Diff(from) {
		if err != nil {
			return err
		}
		if err := s.Send(TypeChange, changeOf(c)); err != nil {
			return err
		}
	}
	return nil
}

// content answers with the bytes of one file.
func (h *handler) content(w http.ResponseWriter, req *http.Request) {
	var r ContentRequest
	err := decode(w, req, &r)
	if err != nil {
		writeError(w, err)
		return
	}
	if t, ok, err := h.ofSpace(r.Ref, r.Dir); err != nil || ok {
		if err != nil {
			writeError(w, err)
			return
		}
		h.contentOfSpace(w, req, t, &r)
		return
	}
	// The answer has no room for the events of connections.
	quiet := &Stream{err: errors.New("no events")}
	reading, done, err := h.open(req.Context(), r.Connect, r.Target, quiet)
	if err != nil {
		writeError(w, err)
		return
	}
	defer done()
	f, info, err := reading.File()
	if err != nil {
		writeError(w, err)
		return
	}
	defer f.Close()
	start, length, err := parseRange(r.Range, uint64(info.Size()))
	if err != nil {
		writeError(w, err)
		return
	}
	seeker, ok := f.(io.ReadSeeker)
	if !ok {
		writeError(w, fmt.Errorf("%s cannot seek", r.Ref))
		return
	}
	if _, err := seeker.Seek(int64(start), io.SeekStart); err != nil {
		writeError(w, files.Explain(reading.Context(), err))
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Trailer", ErrorTrailer)
	header.Set(SizeHeader, strconv.FormatUint(length, 10))
	w.WriteHeader(http.StatusOK)
	if _, err := io.CopyBuffer(w, io.LimitReader(seeker, int64(length)), make([]byte, 256<<10)); err != nil {
		report, _ := json.Marshal(fault.ReportOf(files.Explain(reading.Context(), err)))
		header.Set(ErrorTrailer, string(report))
	}
}

// parseRange turns a range into a position and a length within size bytes.
func parseRange(text string, size uint64) (start, length uint64, err error) {
	if text == "" {
		return 0, size, nil
	}
	wrong := fault.New(fault.Usage, "%q is not a range of bytes", text).Hint("write 6-9 for four bytes, 6- for all from there on, -4 for the last four")
	first, last, ok := strings.Cut(text, "-")
	if !ok || first == "" && last == "" {
		return 0, 0, wrong
	}
	if first == "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return 0, 0, wrong
		}
		n = min(n, size)
		return size - n, n, nil
	}
	if start, err = strconv.ParseUint(first, 10, 63); err != nil {
		return 0, 0, wrong
	}
	end := size
	if last != "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil || n < start {
			return 0, 0, wrong
		}
		end = min(n+1, size)
	}
	if start > size {
		return 0, 0, fault.New(fault.Usage, "the range begins behind the end: the file has %d bytes", size)
	}
	return start, end - min(start, end), nil
}
