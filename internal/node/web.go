package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/door/gateway"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files"
)

// web serves drives with package gateway. It implements [api.Web].
type web struct {
	files *files.Library
	log   *slog.Logger
}

// webPatience is how long a browser waits for peers.
const webPatience = 30 * time.Second

// Serve implements [api.Web].
func (w *web) Serve(ctx context.Context, r api.ServeRequest, ready func(url string)) error {
	s := &sites{files: w.files, all: r.All}
	for _, ref := range r.Refs {
		p, err := w.files.Find(ref, r.Dir)
		if err != nil {
			return err
		}
		if p.Record.Name == "" {
			p.Record.Name = p.Record.Key.String()
		}
		s.places = append(s.places, p)
	}
	if len(s.places) == 0 && !r.All {
		return fault.New(fault.Usage, "nothing to serve").Hint("name a drive, or serve all of them with --all")
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", r.Addr)
	if err != nil {
		return cannotListen(r.Addr, "", err)
	}
	tcp, _ := l.Addr().(*net.TCPAddr)
	server := &http.Server{
		Handler: gateway.New(s, &gateway.Options{Single: len(s.places) == 1 && !r.All, LoopbackOnly: tcp != nil && tcp.IP.IsLoopback(), Log: w.log}),
		// Slow readers may take their time; slow senders of headers may not.
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          serverLog(w.log),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	ready("http://" + l.Addr().String() + "/")
	select {
	case <-ctx.Done():
		err = server.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	case err := <-served:
		return err
	}
}

// sites are drives as package gateway wants them.
type sites struct {
	files  *files.Library
	places []files.Place
	all    bool
}

// Site implements [gateway.Sites].
func (s *sites) Site(ctx context.Context, name string, version uint64) (*gateway.Site, error) {
	p, ok := s.find(name)
	if !ok {
		return nil, fault.New(fault.NotFound, "no site %q", name)
	}
	r, err := s.files.Read(ctx, p, files.State{Version: version}, webPatience)
	if err != nil {
		return nil, err
	}
	var root fs.FS = &explained{r.View.FS(r.Context()), r.Context()}
	tag, err := tagger(r.Context(), r.View.Drive())
	if p.Path != "" && err == nil {
		root, err = fs.Sub(root, p.Path[1:])
	}
	if err != nil {
		err = files.Explain(r.Context(), err)
		r.Close()
		return nil, err
	}
	return &gateway.Site{Name: p.Record.Name + p.Path, Version: r.View.Version(), FS: root, Tag: tag, Close: r.Close}, nil
}

func (s *sites) find(name string) (files.Place, bool) {
	for _, p := range s.places {
		if name == "" && !s.all || p.Record.Name == name {
			return p, true
		}
	}
	if !s.all {
		return files.Place{}, false
	}
	for _, r := range s.files.Records() {
		if r.Name == name {
			return files.Place{Record: r}, true
		}
	}
	return files.Place{}, false
}

// List implements [gateway.Sites].
func (s *sites) List(ctx context.Context) ([]gateway.Listing, error) {
	known, err := s.files.Summaries(ctx)
	if err != nil {
		return nil, err
	}
	var list []gateway.Listing
	for _, d := range known {
		if _, ok := s.find(d.Name); ok {
			list = append(list, gateway.Listing{Name: d.Name, Version: d.Version, Bytes: d.Bytes})
		}
	}
	return list, nil
}

// tagger returns a function that identifies a content by where it lies in the
// drive's logs: under one fork of each nothing is written there a second time.
func tagger(ctx context.Context, d *hyperdrive.Drive) (func(fs.FileInfo) string, error) {
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return nil, err
	}
	forks := fmt.Sprintf("%x-%x", d.Core().Fork(), blobs.Core().Fork())
	return func(info fs.FileInfo) string {
		e, ok := info.Sys().(*hyperdrive.Entry)
		if !ok || e.Blob == nil {
			return ""
		}
		return fmt.Sprintf("%s-%x-%x-%x", forks, e.Seq, e.Blob.BlockOffset, e.Blob.ByteLength)
	}, nil
}

// explained gives the errors of a drive their kinds.
type explained struct {
	files *hyperdrive.FS
	ctx   context.Context // of the request: io/fs has no room for one
}

func (e *explained) Open(name string) (fs.File, error) {
	f, err := e.files.Open(name)
	if content, ok := f.(fileContent); ok {
		return &explainedFile{content, e}, nil
	}
	return f, e.explain(err)
}

func (e *explained) Stat(name string) (fs.FileInfo, error) {
	info, err := e.files.Stat(name)
	return info, e.explain(err)
}

func (e *explained) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := e.files.ReadDir(name)
	return list, e.explain(err)
}

func (e *explained) explain(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return files.Explain(e.ctx, err)
}

// fileContent is an open file, not a folder.
type fileContent interface {
	fs.File
	io.Seeker
}

type explainedFile struct {
	fileContent
	fs *explained
}

func (f *explainedFile) Read(b []byte) (int, error) {
	n, err := f.fileContent.Read(b)
	if err == io.EOF {
		return n, err
	}
	return n, f.fs.explain(err)
}
