package linearizer

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestTheirAcksAreThoseOfTheOtherStack(t *testing.T) {
	b, err := os.ReadFile("testdata/multi-dags-acks.json")
	if err != nil {
		t.Fatal(err)
	}
	var v recorded
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Cases {
		for r, run := range c.Runs {
			t.Run(fmt.Sprintf("%d/%d", c.Seed, r), func(t *testing.T) {
				l := New(c.keys()[:c.Indexers], nil)
				changed := false
				for i, a := range run.Arrival {
					if !a.update {
						if err := l.Add(c.node(a)); err != nil {
							t.Fatal(err)
						}
						changed = true
						continue
					}
					l.Update()
					if !changed {
						continue
					}
					changed = false
					got := ""
					for _, k := range c.keys()[:c.Indexers] {
						n := 0
						if l.theirAck(k, false) {
							n++
						}
						if l.theirAck(k, true) {
							n += 2
						}
						got += fmt.Sprint(n)
					}
					if want := run.Acks[0]; got != want {
						t.Fatalf("after %d: acknowledge %s, want %s", i, got, want)
					}
					run.Acks = run.Acks[1:]
				}
				if len(run.Acks) > 0 {
					t.Fatalf("%d updates too few", len(run.Acks))
				}
			})
		}
	}
}

// theirAck is the rule of Autobase 7.28.1, to which the acknowledgements of its
// indexers keep. It can leave values unconfirmed, and with four indexers or more it
// may never rest.
func (l *Linearizer) theirAck(k hypercrypto.Key, all bool) bool {
	w := l.writers[k]
	if w == nil || w.indexer < 0 || len(l.tip) == 0 {
		return false
	}
	heads := l.heads()
	for _, h := range heads {
		if h.writer.indexer < 0 {
			return true
		}
	}
	if len(heads) == 1 && heads[0].writer == w {
		return false // nobody said anything since
	}
	if !all && !slices.ContainsFunc(l.tip, func(n *Node) bool { return !n.Empty }) {
		return false
	}
	for _, t := range l.tails() {
		if t.writer != w && l.awaited(w, t) {
			return true
		}
	}
	own := w.before(w.length())
	for _, h := range heads {
		if h.writer != w && l.ahead(h, own, all) {
			return true
		}
	}
	return false
}

// awaited tells whether t, a tail by another indexer, waits for w: for its vote,
// or for having seen a majority vote.
func (l *Linearizer) awaited(w *writer, t *Node) bool {
	next := w.get(max(t.clock[w.indexer], w.offset))
	if next == nil {
		return true
	}
	if !next.sees(t) {
		return !w.before(w.length()).sees(t)
	}
	if !l.newer(t, next) {
		return false // it cannot vote for t any more
	}
	acks := l.acks(t)
	return len(acks) >= l.majority && l.verdict(w, t, acks, w.length()) == unseen
}

// ahead tells whether h has seen somebody see a value below it, or if all is set
// any node, whom own has not seen do that.
func (l *Linearizer) ahead(h, own *Node, all bool) bool {
	l.walks++
	for stack := []*Node{h}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if n.mark == l.walks {
			continue
		}
		n.mark = l.walks
		if all || !n.Empty {
			theirs, ours := false, false
			for _, w := range l.indexers {
				witness, known := l.witness(w, n, h), l.witness(w, n, own)
				if witness && !known {
					return true
				}
				theirs, ours = theirs || witness, ours || known
			}
			if theirs && ours {
				continue
			}
		}
		stack = append(stack, n.deps...)
	}
	return false
}

// witness tells whether the newest node of w that from has seen has seen n.
func (l *Linearizer) witness(w *writer, n, from *Node) bool {
	if from == nil || n.writer.indexer < 0 || !from.sees(n) {
		return false
	}
	if w == from.writer {
		return true
	}
	length := from.clock[w.indexer]
	if n.clock[w.indexer] >= length {
		return false
	}
	h := w.before(length)
	return h != nil && h.sees(n)
}
