package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

// Build builds the program of this module into the folder dir and returns its path.
func Build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "cloudpal")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/tradle/cloudpal/cmd/cloudpal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cloudpal: %w: %s", err, out)
	}
	return program, nil
}

// Node is a node with a folder of the space.
type Node struct {
	// Dir is the folder.
	Dir string

	program, home string
	args          []string  // of "cloudpal up"
	cmd           *exec.Cmd // nil while it does not run
	text          bytes.Buffer
	ended         chan error
	client        *client.Client
	address       string // that it listens at
}

func newNode(program, dir string) *Node {
	return &Node{Dir: filepath.Join(dir, "folder"), home: filepath.Join(dir, "home"), program: program}
}

func (n *Node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, n.program, args...)
	cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+n.home, "CLOUDPAL_BOOTSTRAP=none", "CLOUDPAL_LAN=none")
	return cmd
}

// Run runs a command of the program to its end and returns what it prints.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	cmd := n.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cloudpal %q: %w: %s", args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// Start runs the node until [Node.Stop], and returns when it is up.
func (n *Node) Start(ctx context.Context) error {
	n.text.Reset()
	n.cmd = n.command(ctx, append([]string{"up", "--json"}, n.args...)...)
	n.cmd.Stderr = &n.text
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return err
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadBytes('\n')
	var up api.Up
	if err == nil {
		err = json.Unmarshal(line, &up)
	}
	n.ended = make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		n.ended <- n.cmd.Wait()
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("start node: %w", err), n.Stop())
	}
	if len(up.Listen) > 0 {
		n.address = up.Listen[0]
	}
	n.client = client.New(client.Socket(up.Socket))
	return nil
}

// Stop ends the node as Ctrl-C does. It may be called when it does not run.
func (n *Node) Stop() error {
	if n.cmd == nil {
		return nil
	}
	if n.client != nil {
		n.client.Close()
		n.client = nil
	}
	_ = n.cmd.Process.Signal(os.Interrupt) // it may have ended
	err := <-n.ended
	n.cmd = nil
	if err != nil {
		return fmt.Errorf("the node ended with %w: %s", err, bytes.TrimSpace(n.text.Bytes()))
	}
	return nil
}

// PID is the process of a node that runs.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Folder returns the state of the folder.
func (n *Node) Folder(ctx context.Context) (v api.SyncFolder, err error) {
	for e, err := range n.client.Events(ctx, "/v1/sync/folders", api.SyncFoldersRequest{}) {
		if err == nil && e.Type == api.TypeSyncFolder {
			err = e.Decode(&v)
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

// Stored returns the bytes of the data folder of a node that does not run, when nothing is
// on the disk that was only prepared for later.
func (n *Node) Stored() (int64, error) { return meter.DirSize(n.home) }

// poll is how often states are looked at.
const poll = 10 * time.Millisecond

// Await waits until the folder has this number of entries, files and folders and links,
// and nothing to do.
func (n *Node) Await(ctx context.Context, entries int) error {
	for {
		v, err := n.Folder(ctx)
		if err != nil {
			return err
		}
		if v.State == "asking" {
			return fmt.Errorf("the folder asks: %s", v.Reason)
		}
		if v.State == "idle" && !v.LastScan.IsZero() && v.Files == entries && v.Pending == 0 && v.Waiting == 0 {
			return nil
		}
		select {
		case <-time.After(poll):
		case err := <-n.ended:
			n.ended <- err
			return fmt.Errorf("the node ended: %w: %s", err, n.text.Bytes())
		case <-ctx.Done():
			return fmt.Errorf("%w while the folder was %+v", context.Cause(ctx), v)
		}
	}
}
