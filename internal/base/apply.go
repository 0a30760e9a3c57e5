package base

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// op is a value of a writer's log.
type op struct {
	Add     string   `json:"add,omitempty"`
	Indexer *bool    `json:"indexer,omitempty"` // of add; absent means true
	Remove  string   `json:"remove,omitempty"`
	Log     *string  `json:"log,omitempty"`
	Put     []string `json:"put,omitempty"`
	Del     string   `json:"del,omitempty"`
}

func (o op) encode() ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode operation: %w", err)
	}
	return b, nil
}

// views are what the operations become.
type views struct {
	log *hypercore.Core
	kv  *hyperbee.Tree
}

func (v *views) handlers() autobase.Handlers { return autobase.Handlers{Open: v.open, Apply: v.apply} }

func (v *views) open(o *autobase.Views) error {
	v.log, v.kv = o.Core("log"), o.Tree("kv", nil)
	return nil
}

func (v *views) apply(ctx context.Context, nodes []autobase.Node, h *autobase.Host) error {
	for _, n := range nodes {
		var o op
		if err := json.Unmarshal(n.Value, &o); err != nil {
			return fmt.Errorf("operation: %w", err)
		}
		if err := v.applyOne(ctx, &o, h); err != nil {
			return err
		}
	}
	return nil
}

func (v *views) applyOne(ctx context.Context, o *op, h *autobase.Host) error {
	if o.Add != "" {
		k, err := hypercrypto.ParseKey(o.Add)
		if err != nil {
			return fmt.Errorf("add: %w", err)
		}
		if err := h.AddWriter(k, o.Indexer == nil || *o.Indexer); err != nil {
			return err
		}
	}
	if o.Remove != "" {
		k, err := hypercrypto.ParseKey(o.Remove)
		if err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		if err := h.RemoveWriter(k); err != nil {
			return err
		}
	}
	if o.Log != nil {
		if _, err := v.log.Append(ctx, []byte(*o.Log)); err != nil {
			return err
		}
	}
	if o.Put != nil {
		if len(o.Put) != 2 {
			return fmt.Errorf("put: %d texts instead of a key and a value", len(o.Put))
		}
		if err := v.kv.Put(ctx, []byte(o.Put[0]), []byte(o.Put[1]), nil); err != nil {
			return err
		}
	}
	if o.Del != "" {
		return v.kv.Del(ctx, []byte(o.Del), nil)
	}
	return nil
}
