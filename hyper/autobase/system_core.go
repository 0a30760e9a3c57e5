package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// bootKey is where the local log keeps which system core counts, and how long
// the part is that needs no computing again.
const bootKey = "cloudpal/boot"

func appendBoot(b []byte, k hypercrypto.Key, length uint64) []byte {
	b = compact.AppendUint(b, 0)
	b = append(b, k[:]...)
	return compact.AppendUint(b, length)
}

func decodeBoot(b []byte) (k hypercrypto.Key, length uint64, err error) {
	r := compact.NewReader(b)
	if v := r.Uint(); v != 0 && r.Err() == nil {
		return k, 0, errors.New("autobase: the directory was written by a newer version")
	}
	copy(k[:], r.Fixed(32))
	length = r.Uint()
	if err := r.Err(); err != nil {
		return k, 0, fmt.Errorf("autobase: boot record: %w", err)
	}
	return k, length, nil
}

// boot opens the system view at the last durable state.
func (e *engine) boot(ctx context.Context) error {
	rec, err := e.local.core.UserData(bootKey)
	if err != nil {
		return err
	}
	var core *hypercore.Core
	var length uint64
	if rec == nil {
		core, err = e.viewCore(ctx, systemName, e.lineage.manifest(systemName, &signers{}, hypercrypto.TreeState{}, nil, nil))
	} else {
		var k hypercrypto.Key
		if k, length, err = decodeBoot(rec); err != nil {
			return err
		}
		core, err = e.store.Get(ctx, corestore.GetOptions{Key: &k, Encryption: e.lineage.viewEncryption(systemName)})
	}
	if err != nil {
		return fmt.Errorf("open the system view: %w", err)
	}
	if err := e.bootKeys(ctx, core); err != nil {
		return err
	}
	draft, err := core.Draft(length)
	if err != nil {
		return fmt.Errorf("open the system view: %w", err)
	}
	e.sys = newSystem(draft)
	e.system, e.signed = core, length
	e.watchSystem()
	if err := e.useKeys(); err != nil {
		return err
	}
	if err := e.readEpoch(ctx, length); err != nil {
		return err
	}
	return e.sys.load(ctx)
}

// setSystem makes another core the system core, of which length blocks are
// final.
func (e *engine) setSystem(core *hypercore.Core, length uint64) error {
	if !e.scratch {
		if err := e.local.core.SetUserData(bootKey, appendBoot(nil, core.Key(), length)); err != nil {
			return fmt.Errorf("remember the system view: %w", err)
		}
	}
	e.system.Close()
	e.system, e.signed = core, length
	e.watchSystem()
	return nil
}

func (e *engine) watchSystem() {
	e.system.Events(func(ev hypercore.Event) {
		if ev.Type == hypercore.EventAppend {
			e.wake()
		}
	})
}
