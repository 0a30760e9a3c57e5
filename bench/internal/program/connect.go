package program

import (
	"context"
	"net"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// accept calls serve with each encrypted connection that l gets, until l is
// closed. serve runs on its own goroutine, which ends with the process.
func accept(ctx context.Context, l net.Listener, serve func(*secretstream.Conn)) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if conn, err := secretstream.Server(ctx, raw, nil); err == nil {
				serve(conn)
			}
		}()
	}
}

// attachment is a log on a connection.
type attachment struct {
	mux  *protomux.Mux
	done chan struct{}
}

// attach replicates core over conn in the background.
func attach(ctx context.Context, core *hypercore.Core, conn protomux.Stream) (*attachment, error) {
	a := &attachment{mux: protomux.New(conn, nil), done: make(chan struct{})}
	if err := core.Replicate(a.mux); err != nil {
		conn.Close()
		return nil, err
	}
	go func() {
		defer close(a.done)
		a.mux.Run(ctx) // an end of the connection shows as a read that waits for ever or as the program's end
	}()
	return a, nil
}

// Close ends the connection and waits for it.
func (a *attachment) Close() {
	a.mux.Close()
	<-a.done
}
