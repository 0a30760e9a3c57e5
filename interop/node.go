package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Versions of hypercore that StartNode can run. package.json installs them side by side.
const (
	Hypercore11   = "11.37.1"
	Hypercore1139 = "11.39.5"
	Hypercore10   = "10.38.2"
)

// patience bounds every wait for a peer. It is long because CI machines are slow; a healthy run never comes near it.
const patience = 5 * time.Minute

// Event is one line of a peer's output.
type Event map[string]any

// Str returns the text of a field, or "" when it is absent or no text.
func (e Event) Str(field string) string {
	s, _ := e[field].(string)
	return s
}

// Num returns the number in a field, or 0.
func (e Event) Num(field string) uint64 {
	f, _ := e[field].(float64)
	return uint64(f)
}

// Bool returns the truth value of a field, or false.
func (e Event) Bool(field string) bool {
	b, _ := e[field].(bool)
	return b
}

// Obj returns the object in a field, or an empty one.
func (e Event) Obj(field string) Event {
	m, _ := e[field].(map[string]any)
	return m
}

// List returns the list in a field, or nil.
func (e Event) List(field string) []any {
	l, _ := e[field].([]any)
	return l
}

// Node is a running JavaScript peer. Its methods may be called from any goroutine; those that take a testing.TB and can
// fail the test must be called from the test's own goroutine.
type Node struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the process is gone and its output is read

	mu      sync.Mutex
	events  []Event       // not consumed yet
	tail    []string      // the last lines of both outputs, for failures
	changed chan struct{} // closed and replaced when events grows
	nextID  int
	exitErr error
}

// interopDir returns the folder of this package, where package.json is.
func interopDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// StartNode runs interop/js/script with the given hypercore version ("" means Hypercore11) and stops it when the test
// ends. The test fails when Node.js or the JavaScript stack is not installed.
func StartNode(t testing.TB, version, script string, args ...string) *Node {
	t.Helper()
	if version == "" {
		version = Hypercore11
	}
	dir := interopDir()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("the JavaScript peers need Node.js 20 or later: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "hypercore", "package.json")); errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the JavaScript stack is not installed: run `npm ci` in interop/")
	}
	cmd := exec.Command(node, append([]string{filepath.Join(dir, "js", script)}, args...)...)
	cmd.Env = append(os.Environ(), "HYPERCORE_VERSION="+version)
	return startProcess(t, script, cmd)
}

// startProcess runs a program that speaks like the JavaScript peers and stops it when the test ends.
func startProcess(t testing.TB, name string, cmd *exec.Cmd) *Node {
	t.Helper()
	n := &Node{
		name:    name,
		cmd:     cmd,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	n.cmd.Dir = t.TempDir()
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.stdin = stdin
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { n.readEvents(stdout) })
	readers.Go(func() { n.readErrors(stderr) })
	go func() {
		readers.Wait()
		err := n.cmd.Wait()
		n.mu.Lock()
		n.exitErr = err
		n.mu.Unlock()
		close(n.done)
	}()
	t.Cleanup(n.Stop)
	return n
}

func (n *Node) readEvents(r io.Reader) {
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e Event
			if json.Unmarshal(line, &e) != nil {
				e = Event{"event": "text", "text": string(line)}
			}
			n.mu.Lock()
			n.events = append(n.events, e)
			n.keepLocked("out: ", line)
			close(n.changed)
			n.changed = make(chan struct{})
			n.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (n *Node) readErrors(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			n.mu.Lock()
			n.keepLocked("err: ", line)
			n.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// keepLocked remembers a line for failure messages; n.mu must be held.
func (n *Node) keepLocked(prefix string, line []byte) {
	const keep, long = 25, 300
	if len(line) > long {
		line = append(line[:long:long], " …"...)
	}
	if len(n.tail) == keep {
		n.tail = append(n.tail[:0], n.tail[1:]...)
	}
	n.tail = append(n.tail, prefix+string(line))
}

// Log returns the last lines of the peer's output, for failure messages.
func (n *Node) Log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("last output of %s:\n  %s", n.name, strings.Join(n.tail, "\n  "))
}

// take removes and returns the first unconsumed event that matches. When there is none it returns a channel that is
// closed when another event arrives.
func (n *Node) take(match func(Event) bool) (Event, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, e := range n.events {
		if match(e) {
			n.events = append(n.events[:i:i], n.events[i+1:]...)
			return e, nil
		}
	}
	return nil, n.changed
}

// Wait returns the first event, past or future, that matches and that no other call returned. Events that do not match
// stay for other calls. It fails after a long while and when the process ends.
func (n *Node) Wait(match func(Event) bool) (Event, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		e, changed := n.take(match)
		if e != nil {
			return e, nil
		}
		select {
		case <-changed:
		case <-n.done:
			if e, _ := n.take(match); e != nil {
				return e, nil
			}
			return nil, fmt.Errorf("the peer ended (%v)\n%s", n.exitErr, n.Log())
		case <-timeout.C:
			return nil, fmt.Errorf("nothing came for %v\n%s", patience, n.Log())
		}
	}
}

// Next is Wait for a test: it fails the test, naming what it waited for.
func (n *Node) Next(t testing.TB, what string, match func(Event) bool) Event {
	t.Helper()
	e, err := n.Wait(match)
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
	return e
}

// Event waits for an event of the given name.
func (n *Node) Event(t testing.TB, name string) Event {
	t.Helper()
	return n.Next(t, "event "+name, func(e Event) bool { return e.Str("event") == name })
}

// Send writes one line to the peer's standard input.
func (n *Node) Send(line string) error {
	if _, err := io.WriteString(n.stdin, line+"\n"); err != nil {
		return fmt.Errorf("send to %s: %w\n%s", n.name, err, n.Log())
	}
	return nil
}

// Args are the arguments of a command.
type Args map[string]any

// Reply is the answer to a command that is under way.
type Reply struct {
	n    *Node
	id   int
	what string
	err  error
}

// Go sends a command without waiting for its answer.
func (n *Node) Go(cmd string, args Args) *Reply {
	n.mu.Lock()
	n.nextID++
	id := n.nextID
	n.mu.Unlock()
	line := Args{"id": id, "cmd": cmd}
	for k, v := range args {
		line[k] = v
	}
	r := &Reply{n: n, id: id, what: cmd}
	b, err := json.Marshal(line)
	if err == nil {
		err = n.Send(string(b))
	}
	r.err = err
	return r
}

// Result waits for the answer. A peer's refusal is an error.
func (r *Reply) Result() (Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	e, err := r.n.Wait(func(e Event) bool { _, ok := e["id"]; return ok && e.Num("id") == uint64(r.id) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.what, err)
	}
	if msg := e.Str("error"); msg != "" {
		return nil, fmt.Errorf("%s: the peer says %s", r.what, msg)
	}
	return e.Obj("value"), nil
}

// Wait is Result for a test.
func (r *Reply) Wait(t testing.TB) Event {
	t.Helper()
	e, err := r.Result()
	if err != nil {
		t.Fatalf("%v\n%s", err, r.n.Log())
	}
	return e
}

// Call sends a command and waits for its answer, failing the test on a refusal.
func (n *Node) Call(t testing.TB, cmd string, args Args) Event {
	t.Helper()
	return n.Go(cmd, args).Wait(t)
}

// Stop ends the process: first by closing its input, then by force. It is safe to call twice.
func (n *Node) Stop() {
	n.stdin.Close()
	select {
	case <-n.done:
		return
	case <-time.After(5 * time.Second):
	}
	n.cmd.Process.Kill()
	<-n.done
}
