package nodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// spaceName is the space of a pair.
const spaceName = "family"

// Pair is two nodes that are connected and have a space in common.
type Pair struct {
	A, B *Node
}

// NewPair makes a pair in the folder dir. Nothing is in the folders of the nodes, and
// they are kept equal from [Pair.Sync] on.
func NewPair(ctx context.Context, program, dir string) (p *Pair, err error) {
	p = &Pair{A: newNode(program, filepath.Join(dir, "a")), B: newNode(program, filepath.Join(dir, "b"))}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, n := range []*Node{p.A, p.B} {
		if err := os.MkdirAll(n.Dir, 0o755); err != nil {
			return nil, err
		}
		if _, err := n.Run(ctx, "identity", "new", "--protect", "plain"); err != nil {
			return nil, err
		}
	}
	if _, err := p.A.Run(ctx, "space", "create", spaceName); err != nil {
		return nil, err
	}
	p.A.args = []string{"--listen", "tcp://127.0.0.1:0"}
	if err := p.A.Start(ctx); err != nil {
		return nil, err
	}
	p.A.args = []string{"--listen", p.A.address} // there again after a restart
	p.B.args = []string{"--peer", p.A.address}
	invite, err := p.A.Run(ctx, "space", "invite", spaceName, "--role", "editor", "--no-wait", "--quiet")
	if err != nil {
		return nil, err
	}
	at := strings.Index(invite, "cloudpal://")
	if at < 0 {
		return nil, fmt.Errorf("no invite in %q", invite)
	}
	if _, err := p.B.Run(ctx, "join", strings.TrimSpace(invite[at:]), "--peer", p.A.address, "--name", spaceName); err != nil {
		return nil, err
	}
	return p, p.B.Start(ctx)
}

// Sync keeps the folder of a node equal from now on, and returns when it is.
func (p *Pair) Sync(ctx context.Context, n *Node) error {
	_, err := n.Run(ctx, "sync", n.Dir, "--space", spaceName)
	return err
}

// Start starts both nodes again.
func (p *Pair) Start(ctx context.Context) error { return errors.Join(p.A.Start(ctx), p.B.Start(ctx)) }

// Close ends both nodes.
func (p *Pair) Close() error { return errors.Join(p.B.Stop(), p.A.Stop()) }
