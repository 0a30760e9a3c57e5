package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// hostile NAME PATH|LINK=TARGET...: serves a drive with one file named "good.txt" and
// entries that no honest program writes, for as long as the script runs. It sets
// NAME_link and NAME_listen. In a path, \0 is the byte 0.
func hostile(ts *testscript.TestScript, neg bool, args []string) {
	p, err := startHostile(ts.MkAbs("hostile-"+args[0]), args[1:])
	ts.Check(err)
	s := scriptOf(ts)
	s.undo = append(s.undo, p.close)
	ts.Setenv(args[0]+"_link", p.link)
	ts.Setenv(args[0]+"_listen", p.address)
}

// hostilePeer serves a drive that lies.
type hostilePeer struct {
	link, address string
	close         func()
}

func startHostile(dir string, entries []string) (*hostilePeer, error) {
	ctx := context.Background()
	store, err := corestore.Open(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	drive, err := hyperdrive.Open(ctx, store.Namespace("hostile"), nil)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if err := fillHostile(ctx, drive, entries); err != nil {
		return nil, errors.Join(err, drive.Close(), store.Close())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, drive.Close(), store.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if stream, err := secretstream.Server(ctx, conn, nil); err == nil {
					_ = store.Replicate(ctx, stream) // ends with the peer
				}
			})
		}
	})
	return &hostilePeer{
		link: link.New(drive.Key()).URL(), address: "tcp://" + l.Addr().String(),
		close: func() {
			cancel()
			l.Close()
			wg.Wait()
			drive.Close()
			store.Close()
		},
	}, nil
}

func fillHostile(ctx context.Context, d *hyperdrive.Drive, entries []string) error {
	if err := d.Put(ctx, "/good.txt", []byte("good\n"), nil); err != nil {
		return err
	}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return err
	}
	id, err := blobs.Put(ctx, []byte("evil\n"))
	if err != nil {
		return err
	}
	tree := hyperbee.New(d.Core(), &hyperbee.Options{Metadata: &hyperbee.Metadata{}})
	defer tree.Close()
	for _, e := range entries {
		if err := putHostile(ctx, tree, e, id); err != nil {
			return fmt.Errorf("entry %q: %w", e, err)
		}
	}
	return nil
}

// putHostile stores an entry past the checks of package hyperdrive.
func putHostile(ctx context.Context, tree *hyperbee.Tree, entry string, id hyperblobs.ID) error {
	path, target, isLink := strings.Cut(strings.ReplaceAll(entry, `\0`, "\x00"), "=")
	value := fmt.Sprintf(`{"executable":false,"linkname":null,"blob":{"blockOffset":%d,"byteOffset":%d,"blockLength":%d,"byteLength":%d},"metadata":null}`,
		id.BlockOffset, id.ByteOffset, id.BlockLength, id.ByteLength)
	if isLink {
		value = fmt.Sprintf(`{"executable":false,"linkname":%q,"blob":null,"metadata":null}`, target)
	}
	return tree.Put(ctx, []byte("files\x00"+path), []byte(value), nil)
}
