package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// bootKey is where the local log keeps the boot record.
const bootKey = "cloudpal/boot"

// bootRecord says where computing begins at the next start.
type bootRecord struct {
	system oplog.Ref   // the system core that counts, and how long the part is that is final
	passed []oplog.Ref // nodes below that are no part of it, by the last of each log
}

func (x *bootRecord) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, 0)
	b = append(b, x.system.Key[:]...)
	b = compact.AppendUint(b, x.system.Length)
	b = compact.AppendUint(b, uint64(len(x.passed)))
	for _, r := range x.passed {
		b = append(b, r.Key[:]...)
		b = compact.AppendUint(b, r.Length)
	}
	return b
}

func decodeBoot(b []byte) (*bootRecord, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); v != 0 && r.Err() == nil {
		return nil, errors.New("autobase: the directory was written by a newer version")
	}
	x := &bootRecord{system: oplog.Ref{Key: r.Fixed32(), Length: r.Uint()}}
	if r.Err() == nil && r.Len() > 0 {
		for range r.Count(33) {
			x.passed = append(x.passed, oplog.Ref{Key: r.Fixed32(), Length: r.Uint()})
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("autobase: boot record: %w", err)
	}
	return x, nil
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
		x, err := decodeBoot(rec)
		if err != nil {
			return err
		}
		for _, r := range x.passed {
			e.passed = append(e.passed, passed{r, 0})
		}
		length = x.system.Length
		core, err = e.store.Get(ctx, corestore.GetOptions{Key: &x.system.Key, Encryption: e.lineage.viewEncryption(systemName)})
		if err != nil {
			return fmt.Errorf("open the system view: %w", err)
		}
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
	rec := (&bootRecord{system: oplog.Ref{Key: core.Key(), Length: length}}).appendTo(nil)
	switch {
	case e.scratch, e.again != nil:
	case e.writing:
		e.booted = rec
	default:
		if err := e.remember(rec); err != nil {
			return err
		}
	}
	e.system.Close()
	e.system, e.signed = core, length
	e.watchSystem()
	e.forgetPassed()
	if e.again != nil {
		for _, r := range e.again.passed {
			e.passed = append(e.passed, passed{r, 0})
		}
		for _, w := range e.writers {
			w.passed = e.passedLength(w.key)
		}
	}
	return nil
}

// remember makes the next start begin at a boot record.
func (e *engine) remember(rec []byte) error {
	if err := e.local.core.SetUserData(bootKey, rec); err != nil {
		return fmt.Errorf("remember the system view: %w", err)
	}
	return nil
}

func (e *engine) watchSystem() {
	e.system.Events(func(ev hypercore.Event) {
		if ev.Type == hypercore.EventAppend {
			e.wake()
		}
	})
}
