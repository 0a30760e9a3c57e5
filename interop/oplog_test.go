package interop

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// operationLogs is how many random logs TestSameOperationsGiveSameLogs runs.
const operationLogs = 1200

// The same operations through both implementations give the same logs: key, length, fork, tree hash and signature.
func TestSameOperationsGiveSameLogs(t *testing.T) {
	const workers = 2
	start := time.Now()
	h := openStoreHub(t, t.TempDir(), 7, true)
	var (
		next  atomic.Uint32
		kinds sync.Map
		wg    sync.WaitGroup
		errs  = make(chan error, workers)
	)
	for range workers {
		n := startPeer(t, Hypercore11, "oplog-peer.js", seedHex(7))
		wg.Go(func() {
			for {
				seed := next.Add(1)
				if seed > operationLogs {
					return
				}
				j := newJob(seed)
				c, _ := kinds.LoadOrStore(j.Kind, new(atomic.Int64))
				c.(*atomic.Int64).Add(1)
				if err := h.compare(n, j); err != nil {
					next.Store(operationLogs)
					errs <- fmt.Errorf("log %d: %w\nthe operations: %v", seed, err, j)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	kinds.Range(func(kind, n any) bool {
		t.Logf("%d %s logs", n.(*atomic.Int64).Load(), kind)
		return true
	})
	t.Logf("in %v", time.Since(start).Round(time.Millisecond))
}

// compare runs a job on both sides.
func (h *storeHub) compare(n *Node, j *job) error {
	theirs := n.Go("job", Args{"kind": j.Kind, "name": j.Name, "encryption": j.Encryption, "alwaysDuplicate": j.AlwaysDuplicate, "ops": j.Ops})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run := map[string]func(context.Context, *job) (map[string]any, error){"core": h.runCore, "bee": h.runBee, "drive": h.runDrive}[j.Kind]
	ours, err := run(ctx, j)
	want, theirErr := theirs.Result()
	if theirErr != nil {
		return theirErr
	}
	if err != nil {
		return fmt.Errorf("our side: %w", err)
	}
	got, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if string(got) != string(wanted) {
		return fmt.Errorf("the logs differ\nours:       %s\nthe peer's: %s", got, wanted)
	}
	return nil
}

func (j *job) encryptionKey() *hypercrypto.EncryptionKey {
	b, err := hex.DecodeString(j.Encryption)
	if err != nil || len(b) != 32 {
		return nil
	}
	k := hypercrypto.EncryptionKey(b)
	return &k
}

// stateOf is what the peer tells about a log.
func stateOf(c *hypercore.Core) map[string]any {
	var signature any // null for an empty log that nobody signed
	if s := c.Signature(); len(s) > 0 {
		signature = hexOf(s)
	}
	return map[string]any{
		"key":        c.Key().Hex(),
		"length":     c.Length(),
		"fork":       c.Fork(),
		"byteLength": c.ByteLength(),
		"treeHash":   c.TreeHash().String(),
		"signature":  signature,
	}
}

func bytesOf(v any) []byte {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	b, _ := hex.DecodeString(s)
	if b == nil {
		b = []byte{}
	}
	return b
}

func (h *storeHub) runCore(ctx context.Context, j *job) (map[string]any, error) {
	c, err := h.Get(ctx, corestore.GetOptions{Name: j.Name, EncryptionKey: j.encryptionKey()})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, op := range j.Ops {
		switch op[0] {
		case "append":
			var blocks [][]byte
			for _, b := range op[1:] {
				blocks = append(blocks, bytesOf(b))
			}
			_, err = c.Append(ctx, blocks...)
		case "truncate":
			err = c.Truncate(ctx, uint64(op[1].(int)), nil)
		case "clear":
			err = c.Clear(ctx, uint64(op[1].(int)), uint64(op[2].(int)))
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", op[0], err)
		}
	}
	return stateOf(c), nil
}

// lengths are the versions to go back to; see js/oplog-peer.js.
type lengths []uint64

func (v *lengths) record(length uint64) { *v = append(*v, length) }

func (v *lengths) back(n uint32) (to uint64, ok bool) {
	if len(*v) < int(n) {
		return 0, false
	}
	to = (*v)[len(*v)-int(n)]
	*v = (*v)[:len(*v)-int(n)]
	return to, to >= 2
}

func (h *storeHub) runBee(ctx context.Context, j *job) (map[string]any, error) {
	c, err := h.Get(ctx, corestore.GetOptions{Name: j.Name, EncryptionKey: j.encryptionKey()})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tree := hyperbee.New(c, &hyperbee.Options{SkipUnchanged: !j.AlwaysDuplicate})
	defer tree.Close()
	var (
		batch   *hyperbee.Batch
		history lengths
		gets    = []any{}
	)
	for i, op := range j.Ops {
		name := op[0].(string)
		if batch == nil && (name == "put" || name == "del") || name == "flush" {
			history.record(c.Length())
		}
		var cas func(prev, next hyperbee.Entry) bool
		if answer, ok := op[len(op)-1].(bool); ok {
			cas = func(hyperbee.Entry, hyperbee.Entry) bool { return answer }
		}
		put, del, get := tree.Put, tree.Del, tree.Get
		if batch != nil {
			put, del, get = batch.Put, batch.Del, batch.Get
		}
		switch name {
		case "put":
			err = put(ctx, bytesOf(op[1]), bytesOf(op[2]), &hyperbee.PutOptions{CAS: cas})
		case "del":
			err = del(ctx, bytesOf(op[1]), &hyperbee.DelOptions{CAS: cas})
		case "get":
			var e hyperbee.Entry
			var ok bool
			if e, ok, err = get(ctx, bytesOf(op[1])); !ok {
				gets = append(gets, nil)
			} else if e.Value == nil {
				gets = append(gets, map[string]any{"seq": e.Seq, "value": nil})
			} else {
				gets = append(gets, map[string]any{"seq": e.Seq, "value": hexOf(e.Value)})
			}
		case "batch":
			batch = tree.Batch()
		case "flush":
			err = batch.Flush(ctx)
			batch = nil
		case "close":
			err = batch.Close()
			batch = nil
		case "back":
			if to, ok := history.back(op[1].(uint32)); ok && to < c.Length() {
				err = tree.Truncate(ctx, to)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d, %v: %w", i, op, err)
		}
	}
	state := stateOf(c)
	state["gets"] = gets
	return state, nil
}

func (h *storeHub) runDrive(ctx context.Context, j *job) (map[string]any, error) {
	d, err := hyperdrive.Open(ctx, h.Namespace(j.Name), &hyperdrive.Options{EncryptionKey: j.encryptionKey(), NoTimes: true})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var (
		batch   *hyperdrive.Batch
		history lengths
	)
	for i, op := range j.Ops {
		name := op[0].(string)
		if batch == nil && (name == "put" || name == "del" || name == "symlink") || name == "flush" {
			history.record(d.Core().Length())
		}
		switch name {
		case "put":
			data := prngBytes(op[2].(uint32), int(op[3].(uint32)))
			opts := &hyperdrive.PutOptions{Executable: op[4].(bool), Metadata: op[5]}
			if batch != nil {
				err = batch.Put(ctx, op[1].(string), data, opts)
			} else {
				err = d.Put(ctx, op[1].(string), data, opts)
			}
		case "del":
			if batch != nil {
				err = batch.Del(op[1].(string))
			} else {
				err = d.Del(ctx, op[1].(string))
			}
		case "symlink":
			if batch != nil {
				err = batch.Symlink(op[1].(string), op[2].(string), nil)
			} else {
				err = d.Symlink(ctx, op[1].(string), op[2].(string), nil)
			}
		case "batch":
			batch = d.Batch()
		case "flush":
			err = batch.Flush(ctx)
			batch = nil
		case "close":
			batch.Close()
			batch = nil
		case "back":
			if to, ok := history.back(op[1].(uint32)); ok && to < d.Core().Length() {
				err = d.Truncate(ctx, to)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d, %v: %w", i, op, err)
		}
	}
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return nil, err
	}
	state := stateOf(d.Core())
	state["blobs"] = stateOf(blobs.Core())
	return state, nil
}
