package linearizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// recorded is a file of graphs and of what Autobase 7.28.1 made of them.
type recorded struct {
	Cases []*recordedCase
}

type recordedCase struct {
	Seed     uint64
	KeyBytes []int
	Indexers int
	Nodes    []recordedNode
	Runs     []struct {
		Arrival []ref
		Updates []struct{ Indexed, Tip []string }
		// Acks says, for each update that has news, and in it for each indexer,
		// whether it acknowledges: 1 for a value, 2 for anything.
		Acks []string
	}
}

func (c *recordedCase) keys() []hypercrypto.Key {
	keys := make([]hypercrypto.Key, len(c.KeyBytes))
	for i, b := range c.KeyBytes {
		keys[i] = hypercrypto.Key(bytes.Repeat([]byte{byte(b)}, 32))
	}
	return keys
}

// node makes the node that r names.
func (c *recordedCase) node(r ref) *Node {
	keys := c.keys()
	i := slices.IndexFunc(c.Nodes, func(n recordedNode) bool { return n.writer == r.writer && n.length == r.length })
	n := &c.Nodes[i]
	node := &Node{Ref: Ref{keys[n.writer], n.length}, Batch: n.batch, Optimistic: n.optimistic == 1, Empty: n.value == 0}
	for _, h := range n.heads {
		node.Heads = append(node.Heads, Ref{keys[h[0]], h[1]})
	}
	return node
}

// recordedNode is [writer, length, heads, batch, value, optimistic].
type recordedNode struct {
	writer            int
	length            uint64
	heads             [][2]uint64
	batch             uint64
	value, optimistic int
}

func (n *recordedNode) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&n.writer, &n.length, &n.heads, &n.batch, &n.value, &n.optimistic})
}

// ref is [writer, length], or 0 for an update.
type ref struct {
	update bool
	writer int
	length uint64
}

func (r *ref) UnmarshalJSON(b []byte) error {
	if string(b) == "0" {
		r.update = true
		return nil
	}
	return json.Unmarshal(b, &[]any{&r.writer, &r.length})
}

func TestOrdersOfTheOtherStack(t *testing.T) {
	for _, file := range []string{"multi-dags.json", "multi-dags-optimistic.json"} {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var v recorded
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Cases {
			for r, run := range c.Runs {
				t.Run(fmt.Sprintf("%s/%d/%d", strings.TrimSuffix(file, ".json"), c.Seed, r), func(t *testing.T) {
					names := make(map[hypercrypto.Key]int)
					for i, k := range c.keys() {
						names[k] = i
					}
					name := func(n *Node) string { return fmt.Sprintf("%d:%d", names[n.Key], n.Length) }
					l := New(c.keys()[:c.Indexers], nil)
					updates := run.Updates
					changed := false
					var before []string
					for _, a := range run.Arrival {
						if !a.update {
							if err := l.Add(c.node(a)); err != nil {
								t.Fatal(err)
							}
							changed = true
							continue
						}
						confirmed, tip := l.Update()
						var gotConfirmed, gotTip []string
						for _, n := range confirmed {
							gotConfirmed = append(gotConfirmed, name(n))
						}
						for _, n := range tip {
							gotTip = append(gotTip, name(n))
						}
						if !changed {
							if len(confirmed) > 0 || !slices.Equal(gotTip, before) {
								t.Fatal("an update without new nodes changes the order")
							}
							continue
						}
						changed, before = false, gotTip
						if len(updates) == 0 {
							t.Fatal("too many updates")
						}
						if want := updates[0]; !slices.Equal(gotConfirmed, want.Indexed) || !slices.Equal(gotTip, want.Tip) {
							t.Fatalf("update %d:\n got %v | %v\nwant %v | %v", len(run.Updates)-len(updates), gotConfirmed, gotTip, want.Indexed, want.Tip)
						}
						updates = updates[1:]
					}
					if len(updates) > 0 {
						t.Fatalf("%d updates too few", len(updates))
					}
				})
			}
		}
	}
}
