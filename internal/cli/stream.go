package cli

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

// stream sends a request and shows the events of its answer. show prints those
// that are the command's result; it is not called with --json, which prints all
// of them as they are.
func (g *globals) stream(ctx context.Context, path string, request any, show func(client.Event) error) error {
	return g.streamAll(ctx, path, request, func(e client.Event) error {
		if g.json {
			return nil
		}
		return show(e)
	})
}

// streamAll is stream with a show that sees the events with --json too, after
// they were printed.
func (g *globals) streamAll(ctx context.Context, path string, request any, show func(client.Event) error) (err error) {
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if e := done(); err == nil {
			err = e
		}
	}()
	p := g.newProgress()
	defer p.finish()
	for e, err := range c.Events(ctx, path, request) {
		if err != nil {
			return err
		}
		if err := g.event(e, p, show); err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) event(e client.Event, p *progress, show func(client.Event) error) error {
	if g.json {
		if e.Type == api.TypeDone {
			return nil
		}
		if _, err := fmt.Fprintf(g.stdout, "%s\n", e.Data); err != nil {
			return err
		}
		return show(e)
	}
	switch e.Type {
	case api.TypeProgress:
		var v api.Progress
		if err := e.Decode(&v); err != nil {
			return err
		}
		p.update(&v)
		return nil
	case api.TypeWarning:
		var v api.Warning
		if err := e.Decode(&v); err != nil {
			return err
		}
		if g.quiet {
			return nil
		}
		if v.Path != "" {
			p.print("warning: %s: %s", plain(v.Path), plain(v.Message))
		} else {
			p.print("warning: %s", plain(v.Message))
		}
		return nil
	case api.TypePeer:
		var v api.Peer
		if err := e.Decode(&v); err != nil {
			return err
		}
		if !g.quiet {
			showPeer(p, &v)
		}
		return nil
	case api.TypeMirrored:
		var v api.Mirrored
		if err := e.Decode(&v); err != nil {
			return err
		}
		if !g.quiet {
			p.print("%s", mirroredText(&v))
		}
		return nil
	case api.TypeDone:
		return nil
	}
	p.finish()
	return show(e)
}

// showPeer tells what becomes of a connection, but not again what it told last,
// nor that a peer is connected by another of its addresses, in the same way.
func showPeer(p *progress, v *api.Peer) {
	var text string
	about := v.Address
	switch v.State {
	case "connected":
		text = "connected to " + v.Address + pathText(v.Path)
		if v.Key != "" {
			if about = v.Key; p.told[about] == v.Path && p.told[v.Address] == "" {
				return
			}
		}
	case "retrying":
		text = fmt.Sprintf("cannot reach %s: %s; trying again", v.Address, v.Error)
	}
	if text == "" || p.told[v.Address] == text {
		return
	}
	if p.told == nil {
		p.told = make(map[string]string)
	}
	p.told[v.Address] = text
	if about != v.Address {
		p.told[about] = v.Path
	}
	p.print("%s", text)
}

// print writes a line of the result.
func (g *globals) print(format string, args ...any) error {
	_, err := fmt.Fprintf(g.stdout, format+"\n", args...)
	return err
}

// interrupted makes a person's interrupt the normal end of a command that runs
// until then.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && fault.KindOf(err) == fault.Canceled {
		return nil
	}
	return err
}
