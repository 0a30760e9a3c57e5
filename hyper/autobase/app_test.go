package autobase

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// testApp is the application of the scenarios: values are operations in JSON,
// which write a plain view and a bee.
type testApp struct {
	log   *hypercore.Core
	kv    *hyperbee.Tree
	forks []bool // what came of each
}

type testOp struct {
	Add       string    `json:"add,omitempty"`
	Indexer   *bool     `json:"indexer,omitempty"`
	Remove    string    `json:"remove,omitempty"`
	Ack       bool      `json:"ack,omitempty"`
	Log       *string   `json:"log,omitempty"`
	Put       []string  `json:"put,omitempty"`
	Del       string    `json:"del,omitempty"`
	Interrupt string    `json:"interrupt,omitempty"`
	Throw     string    `json:"throw,omitempty"`
	Note      string    `json:"note,omitempty"`
	Fork      *testFork `json:"fork,omitempty"`
	Epoch     uint32    `json:"epoch,omitempty"`
	Unless    string    `json:"unless,omitempty"` // refused if the bee has the key
}

type testFork struct {
	Indexers []string `json:"indexers"`
	Key      string   `json:"key"`
	Length   uint64   `json:"length"`
}

func (f *testFork) call(h *Host) (bool, error) {
	var keys []hypercrypto.Key
	for _, text := range append(f.Indexers, f.Key) {
		k, err := hypercrypto.ParseKey(text)
		if err != nil {
			return false, err
		}
		keys = append(keys, k)
	}
	n := len(f.Indexers)
	return h.Fork(keys[:n], Ref{Key: keys[n], Length: f.Length})
}

func (a *testApp) handlers() Handlers { return Handlers{Open: a.open, Apply: a.apply} }

func (a *testApp) open(v *Views) error {
	a.log, a.kv = v.Core("log"), v.Tree("kv", nil)
	return nil
}

func (a *testApp) apply(ctx context.Context, nodes []Node, h *Host) error {
	for _, n := range nodes {
		var op testOp
		if err := json.Unmarshal(n.Value, &op); err != nil {
			return err
		}
		if op.Unless != "" {
			if _, ok, err := a.kv.Get(ctx, []byte(op.Unless)); ok || err != nil {
				return errors.Join(err, errors.New("refused"))
			}
		}
		if op.Add != "" {
			k, err := hypercrypto.ParseKey(op.Add)
			if err != nil {
				return err
			}
			if err := h.AddWriter(k, op.Indexer == nil || *op.Indexer); err != nil {
				return err
			}
		}
		if op.Remove != "" {
			k, err := hypercrypto.ParseKey(op.Remove)
			if err != nil {
				return err
			}
			if err := h.RemoveWriter(k); err != nil {
				return err
			}
		}
		if op.Ack {
			if err := h.AckWriter(n.From); err != nil {
				return err
			}
		}
		if op.Epoch != 0 {
			if err := h.SetKeyEpoch(op.Epoch); err != nil {
				return err
			}
		}
		if op.Log != nil {
			if _, err := a.log.Append(ctx, []byte(*op.Log)); err != nil {
				return err
			}
		}
		if op.Put != nil {
			if err := a.kv.Put(ctx, []byte(op.Put[0]), []byte(op.Put[1]), nil); err != nil {
				return err
			}
		}
		if op.Del != "" {
			if err := a.kv.Del(ctx, []byte(op.Del), nil); err != nil {
				return err
			}
		}
		if f := op.Fork; f != nil {
			ok, err := f.call(h)
			if err != nil {
				return err
			}
			a.forks = append(a.forks, ok)
		}
		if op.Note != "" {
			h.Note([]byte(op.Note))
		}
		if op.Interrupt != "" {
			if err := h.Interrupt(op.Interrupt); err != nil {
				return err
			}
		}
		if op.Throw != "" {
			return fmt.Errorf("refused: %s", op.Throw)
		}
	}
	return nil
}

func opJSON(op testOp) []byte {
	b, err := json.Marshal(op)
	if err != nil {
		panic(err)
	}
	return b
}

func opLog(format string, args ...any) []byte {
	s := fmt.Sprintf(format, args...)
	return opJSON(testOp{Log: &s})
}

func opPut(k, v string) []byte { return opJSON(testOp{Put: []string{k, v}}) }

func opAdd(k hypercrypto.Key, indexer bool) []byte {
	return opJSON(testOp{Add: hex.EncodeToString(k[:]), Indexer: &indexer})
}

func opRemove(k hypercrypto.Key) []byte {
	return opJSON(testOp{Remove: hex.EncodeToString(k[:])})
}
