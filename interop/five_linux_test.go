package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	drivelink "github.com/tradle/cloudpal/hyper/hyperdrive/link"
)

// member is one of the five processes.
type member interface {
	name() string
	put(t *testing.T, key, value string)
	hash(t *testing.T) string // of the whole state
	tell(t *testing.T) string // what it knows
	value(t *testing.T, key string) string
	kill(t *testing.T)
	back(t *testing.T)
}

// program is cloudpal with a base online.
type program struct {
	b    *bench
	n    string
	home string
	base string
	args []string // of "base view"
	node *Node
}

func (p *program) name() string { return p.n }

// once runs a command that ends by itself and returns what it said.
func (p *program) once(t *testing.T, args ...string) *Node {
	t.Helper()
	n := p.b.cloudpal("", p.home, "none", args...)
	n.ends(t)
	return n
}

func (p *program) back(t *testing.T) {
	t.Helper()
	p.node = p.b.cloudpal("", p.home, "none", append([]string{"base", "view", p.base, "--follow"}, p.args...)...)
	p.node.said(t, "base")
}

func (p *program) kill(t *testing.T) { p.node.kill() }

func (p *program) put(t *testing.T, key, value string) {
	t.Helper()
	p.once(t, "base", "append", p.base, key, value)
}

// last returns the newest event of a type.
func (n *Node) last(typ string) (e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range slices.Backward(n.events) {
		if x.Str("type") == typ {
			return x
		}
	}
	return nil
}

func (p *program) state(t *testing.T) Event {
	t.Helper()
	return p.once(t, "base", "view", p.base).last("base")
}

func (p *program) hash(t *testing.T) string { return p.state(t).Str("hash") }

func (p *program) tell(t *testing.T) string { return fmt.Sprint(p.state(t)) }

func (p *program) value(t *testing.T, key string) string {
	t.Helper()
	return p.once(t, "base", "view", p.base, "--prefix", key).last("pair").Str("value")
}

// peer is a process in JavaScript.
type peer struct {
	j     *jsBase
	ports []int
}

func (p *peer) name() string { return p.j.n }
func (p *peer) put(t *testing.T, key, value string) {
	t.Helper()
	p.j.append(t, baseOp{Put: []string{key, value}})
}
func (p *peer) hash(t *testing.T) string { t.Helper(); return p.j.state(t).System.Hash }
func (p *peer) tell(t *testing.T) string {
	t.Helper()
	return p.j.state(t).text() + fmt.Sprint(p.j.Call(t, "writers", nil))
}
func (p *peer) value(t *testing.T, key string) string {
	t.Helper()
	return p.j.Call(t, "get", Args{"key": key}).Str("value")
}
func (p *peer) kill(t *testing.T) { p.j.kill() }
func (p *peer) back(t *testing.T) {
	t.Helper()
	p.j.start(t)
	p.connect(t)
}

func (p *peer) connect(t *testing.T) {
	t.Helper()
	for _, port := range p.ports {
		p.j.Go("connect", Args{"port": port, "keep": true})
	}
}

// network takes the network of all processes away, or brings it back.
func network(t *testing.T, up bool) {
	t.Helper()
	state := "down"
	if up {
		state = "up"
	}
	if out, err := exec.Command("ip", "link", "set", "lo", state).CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v: %s", err, out)
	}
}

// oneHash waits until all have the same state, and returns its hash.
func oneHash(t *testing.T, all []member) string {
	t.Helper()
	var text string
	for until := time.Now().Add(3 * patience); ; time.Sleep(200 * time.Millisecond) {
		var hashes []string
		for _, m := range all {
			hashes = append(hashes, m.hash(t))
		}
		text = ""
		for i, m := range all {
			text += fmt.Sprintf("\n  %-4s %s", m.name(), hashes[i])
		}
		if hashes[0] != "" && len(slices.Compact(hashes)) == 1 {
			t.Logf("one hash:%s", text)
			return hashes[0]
		}
		if time.Now().After(until) {
			for _, m := range all {
				text += fmt.Sprintf("\n%s: %s", m.name(), m.tell(t))
			}
			t.Fatalf("they do not agree:%s", text)
		}
	}
}

// Five processes, two of them JavaScript, edit one base, lose their network, are
// killed, come back, and show one hash.
func TestFiveProcessesShowOneHash(t *testing.T) {
	if !alone(t) {
		return
	}
	os.Setenv("CLOUDPAL_LAN", "none")
	os.Setenv("ACK_INTERVAL", "500")
	b := newProgram(t)
	homes := t.TempDir()
	ports := []int{41101, 41102, 41103}
	address := func(i int) string { return fmt.Sprintf("tcp://127.0.0.1:%d", ports[i]) }
	ours := func(i int, base string) *program {
		p := &program{b: b, n: fmt.Sprint("go", i+1), home: filepath.Join(homes, fmt.Sprint(i)), base: base, args: []string{"--listen", address(i)}}
		for j := range i {
			p.args = append(p.args, "--peer", address(j))
		}
		return p
	}
	one, two, three := ours(0, "first"), ours(1, "second"), ours(2, "third")

	// The second comes by an invite, the others by their keys.
	created := one.once(t, "base", "create", one.base).last("base")
	url, err := drivelink.Parse(created.Str("link"))
	if err != nil {
		t.Fatal(err)
	}
	inviting := b.cloudpal("", one.home, "none", "base", "invite", one.base, "--indexer", "--listen", address(0))
	invited := inviting.said(t, "invited").Str("link")
	two.once(t, "base", "join", two.base, invited, "--peer", address(0))
	inviting.said(t, "joined")
	inviting.interrupt()
	for _, p := range []*program{one, two} {
		p.back(t)
	}
	three.once(t, "base", "join", three.base, created.Str("link"))
	three.back(t)
	o := baseOptions{encryption: hexOf(url.EncryptionKey[:])}
	js := []*peer{{j: startJSBase(t, 201, url.Key.Hex(), o), ports: ports}, {j: startJSBase(t, 202, url.Key.Hex(), o), ports: ports}}
	for _, p := range js {
		p.connect(t)
	}
	one.once(t, "base", "members", "add", one.base, js[0].j.local(), "--indexer", "--timeout", "2m")
	// An indexer begins with its first node, which JavaScript does not write by itself.
	eventually(t, "a member", func() bool { return js[0].j.state(t).Writable })
	js[0].j.ack(t)
	one.once(t, "base", "members", "add", one.base, js[1].j.local(), "--timeout", "2m")
	one.once(t, "base", "members", "add", one.base, three.state(t).Str("local"), "--timeout", "2m")
	all := []member{one, two, three, js[0], js[1]}
	want := make(map[string]string)
	put := func(round string) {
		t.Helper()
		for i, m := range all {
			key, value := fmt.Sprintf("%s/%s", round, m.name()), strings.Repeat(m.name()+" ", i+1)
			m.put(t, key, value)
			want[key] = value
		}
	}
	eventually(t, "members", func() bool {
		return two.state(t).Bool("writable") && three.state(t).Bool("writable") && js[0].j.state(t).Writable && js[1].j.state(t).Writable
	})

	put("together")
	oneHash(t, all)

	// Without a network everybody goes on alone.
	network(t, false)
	put("alone")
	three.kill(t)
	js[1].kill(t)
	network(t, true)
	for _, m := range []member{three, js[1]} {
		m.back(t)
	}
	oneHash(t, all)

	// Everybody is killed, with what was written a moment before, but for the indexer in
	// JavaScript, which is left alone: one that is killed can come back with an order of its
	// own, also among its like (docs/protocol/autobase.md, 6).
	put("late")
	for _, m := range all {
		if m != member(js[0]) {
			m.kill(t)
		}
	}
	for _, m := range all {
		if m != member(js[0]) {
			m.back(t)
		}
	}
	put("again")
	oneHash(t, all)
	for _, m := range all {
		for key, value := range want {
			if got := m.value(t, key); got != value {
				t.Errorf("%s has %q for %s, want %q", m.name(), got, key, value)
			}
		}
	}
}
