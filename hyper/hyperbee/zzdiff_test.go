package hyperbee_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"strconv"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/corestore"
)

func TestZZDiff(t *testing.T) {
	jobs := 300
	if s := os.Getenv("JOBS"); s != "" { jobs, _ = strconv.Atoi(s) }
	seed := uint64(1)
	if s := os.Getenv("SEED"); s != "" { seed, _ = strconv.ParseUint(s, 10, 64) }
	cmd := exec.Command("node", "/work/scratch/js/struct-bee-peer.js", "--serve", "--blocks")
	cmd.Dir = "/work/scratch/js"
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	outp, _ := cmd.StdoutPipe()
	check(t, cmd.Start())
	rd := bufio.NewReaderSize(outp, 1<<20)
	ctx := t.Context()
	staleGets, totalOps := 0, 0
	st := newStore(t)
	for j := range jobs {
		if s := os.Getenv("ONLY"); s != "" && s != strconv.Itoa(j) { continue }
		r := rand.New(rand.NewPCG(seed, uint64(j)))
		space := []int{3, 12, 60, 300, 2000}[r.IntN(5)]
		count := 50 + r.IntN(800)
		dup := r.IntN(3) > 0
		ops := []map[string]any{{"op": "open", "alwaysDuplicate": dup}}
		tree := treeOn(t, jcore(t, st, j), &hyperbee.Options{SkipUnchanged: !dup, CacheBytes: []int{0, -1, 1 << 14}[r.IntN(3)]})
		var b *hyperbee.Batch
		type res struct { Seq uint64; Value *string }
		var gets []*res
		var model []*res
		m := map[string]*string{}
		var saved map[string]*string
		for range count {
			totalOps++
			k := []byte(fmt.Sprintf("k%d", r.IntN(space)))
			if r.IntN(40) == 0 { k = []byte{} }
			key := hex.EncodeToString(k)
			switch x := r.IntN(100); {
			case x < 50:
				var v []byte
				var vs any
				switch r.IntN(12) {
				case 0: v, vs = nil, nil
				case 1: v, vs = []byte{}, ""
				case 2, 3: v = []byte("same"); vs = hex.EncodeToString(v)
				default: v = []byte(fmt.Sprintf("v%d", r.IntN(1000))); vs = hex.EncodeToString(v)
				}
				o := map[string]any{"op": "put", "key": key, "value": vs}
				var po *hyperbee.PutOptions
				if r.IntN(6) == 0 {
					c := r.IntN(2) == 0
					o["cas"] = c
					po = &hyperbee.PutOptions{CAS: func(_, _ hyperbee.Entry) bool { return c }}
				}
				ops = append(ops, o)
				if b != nil { check(t, b.Put(ctx, k, v, po)) } else { check(t, tree.Put(ctx, k, v, po)) }
				cur, has := m[string(k)]
				_ = cur
				if !(has && po != nil && !o["cas"].(bool)) { 
					if vs == nil { m[string(k)] = nil } else { s := vs.(string); m[string(k)] = &s }
				}
			case x < 75:
				o := map[string]any{"op": "del", "key": key}
				var po *hyperbee.DelOptions
				blocked := false
				if r.IntN(6) == 0 {
					c := r.IntN(2) == 0
					blocked = !c
					o["cas"] = c
					po = &hyperbee.DelOptions{CAS: func(_, _ hyperbee.Entry) bool { return c }}
				}
				ops = append(ops, o)
				if b != nil { check(t, b.Del(ctx, k, po)) } else { check(t, tree.Del(ctx, k, po)) }
				if !blocked { delete(m, string(k)) }
			case x < 85:
				ops = append(ops, map[string]any{"op": "get", "key": key})
				var e hyperbee.Entry
				var ok bool
				var err error
				if b != nil { e, ok, err = b.Get(ctx, k) } else { e, ok, err = tree.Get(ctx, k) }
				check(t, err)
				var g *res
				if ok { g = &res{Seq: e.Seq}; if e.Value != nil { s := hex.EncodeToString(e.Value); g.Value = &s } }
				gets = append(gets, g)
				mv, has := m[string(k)]
				var mm *res
				if has { mm = &res{Value: mv} }
				if has != ok { t.Fatalf("job %d: get %q ok %v model %v", j, k, ok, has) }
				model = append(model, mm)
			default:
				if b == nil {
					if r.IntN(3) == 0 {
						ops = append(ops, map[string]any{"op": "batch"}); b = tree.Batch()
						saved = map[string]*string{}
						for k, v := range m { saved[k] = v }
					}
				} else if y := r.IntN(8); y < 2 {
					ops = append(ops, map[string]any{"op": "flush"}); check(t, b.Flush(ctx)); b = nil
				} else if y == 2 && r.IntN(4) == 0 {
					ops = append(ops, map[string]any{"op": "close"}); check(t, b.Close()); b = nil
					m = saved
				}
			}
		}
		if b != nil { ops = append(ops, map[string]any{"op": "flush"}); check(t, b.Flush(ctx)) }
		line, _ := json.Marshal(ops)
		if os.Getenv("DUMP") == strconv.Itoa(j) { for _, o := range ops { bb, _ := json.Marshal(o); fmt.Println(string(bb)) } }
		in.Write(append(line, '\n'))
		reply, err := rd.ReadBytes('\n')
		check(t, err)
		var v struct { Length uint64; TreeHash string; Gets []*res; Blocks []string }
		check(t, json.Unmarshal(reply, &v))
		core := tree.Core()
		got := blocks(t, core)
		for i := range min(len(got), len(v.Blocks)) {
			if got[i] != v.Blocks[i] { t.Fatalf("job %d block %d\n got %s\nwant %s", j, i, got[i], v.Blocks[i]) }
		}
		h := core.TreeHash()
		if len(got) != len(v.Blocks) || hex.EncodeToString(h[:]) != v.TreeHash { t.Fatalf("job %d: %d blocks, want %d", j, len(got), len(v.Blocks)) }
		for i, g := range v.Gets {
			a, _ := json.Marshal(g); bb, _ := json.Marshal(gets[i])
			if string(a) != string(bb) {
				if gets[i] == nil && model[i] == nil { staleGets++; continue }
				t.Fatalf("job %d get %d: js %s go %s", j, i, a, bb)
			}
		}
	}
	in.Close()
	t.Logf("%d jobs, %d operations, %d gets where JS returns a deleted entry", jobs, totalOps, staleGets)
	cmd.Wait()
}

func jcore(t *testing.T, st *corestore.Store, j int) *hypercore.Core {
	c, err := st.Get(t.Context(), corestore.GetOptions{Name: strconv.Itoa(j)})
	check(t, err)
	return c
}
