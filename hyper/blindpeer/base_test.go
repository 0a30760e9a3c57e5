package blindpeer

import (
	"context"
	"testing"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// openBase opens a base on a device whose values are appended to one view, except
// keys of writers, which are added.
func (d *device) openBase(base *hypercrypto.Key) (*autobase.Base, *hypercore.Core) {
	d.t.Helper()
	var view *hypercore.Core
	b, err := autobase.Open(d.t.Context(), d.Store, base, autobase.Handlers{
		Open: func(v *autobase.Views) error { view = v.Core("log"); return nil },
		Apply: func(ctx context.Context, nodes []autobase.Node, h *autobase.Host) error {
			for _, n := range nodes {
				if len(n.Value) == 33 && n.Value[32] <= 1 {
					if err := h.AddWriter(hypercrypto.Key(n.Value[:32]), n.Value[32] == 1); err != nil {
						return err
					}
					continue
				}
				if _, err := view.Append(ctx, n.Value); err != nil {
					return err
				}
			}
			return nil
		},
	}, &autobase.Options{EncryptionKey: &hypercrypto.EncryptionKey{7}, AckInterval: -1})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { b.Close() })
	d.onMux = func(m *protomux.Mux) {
		if err := b.Attach(m); err != nil {
			d.t.Error(err)
		}
		// A mirror opens the channel once it knows the base.
		dk := b.Key().Discovery()
		m.Pair(wakeupProtocol, dk[:], func([]byte) { _ = b.Attach(m) })
	}
	return b, view
}

func logsOf(b *autobase.Base) []Log {
	s := b.Status()
	logs := []Log{{b.LocalKey(), 0}, {s.System, s.Signed}}
	for _, v := range s.Views {
		logs = append(logs, Log{v.Key, v.Signed})
	}
	for _, h := range s.Heads {
		logs = append(logs, Log{h.Key, h.Length})
	}
	return logs
}

func (d *device) keepBase(b *autobase.Base, m *mirror) *Keeping {
	d.t.Helper()
	d.knows(m)
	key := b.Key()
	k, err := d.Keep(Subject{Logs: func() []Log { return logsOf(b) }, Target: key, Mirrors: []hypercrypto.PublicKey{m.KeyPair().Public}, Referrer: &key, Priority: PriorityNormal})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(k.Close)
	return k
}

func (d *device) appendValue(b *autobase.Base, v []byte) {
	d.t.Helper()
	if _, err := b.Append(d.t.Context(), v); err != nil {
		d.t.Fatal(err)
	}
}

// Three devices that are never online together share a base by a mirror: a reader
// that has only its key, and two writers.
func TestBaseOfDevicesThatNeverMeet(t *testing.T) {
	m := startMirror(t, nil)
	one, two := newDevice(t, 1), newDevice(t, 2)
	a, _ := one.openBase(nil)
	one.appendValue(a, []byte("first"))
	key := a.Key()
	b, view := two.openBase(&key)
	local := b.LocalKey()
	one.appendValue(a, append(local[:], 0))
	one.keepBase(a, m)
	writerHeld := func(c hypercrypto.Key, length uint64) {
		t.Helper()
		eventually(t, "kept by the mirror", func() bool {
			r, ok := m.Record(c)
			return ok && r.Length >= length && m.Holds(c)
		})
	}
	writerHeld(key, 2)
	one.offline()

	two.keepBase(b, m)
	if err := b.WaitWritable(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := view.Get(patient(t), 0); err != nil || string(got) != "first" {
		t.Fatalf("%q, %v", got, err)
	}
	two.appendValue(b, []byte("second"))
	writerHeld(local, 1)
	two.offline()

	// The first device hears of the new log by wakeup, and reads it.
	three := newDevice(t, 3)
	c, late := three.openBase(&key)
	three.keepBase(c, m)
	one.connect(m)
	for name, b := range map[string]*autobase.Base{"one": a, "three": c} {
		eventually(t, "hearing of the second writer: "+name, func() bool {
			s := b.Status()
			return len(s.Views) > 0 && s.Views[len(s.Views)-1].Length == 2
		})
	}
	if got, err := late.Get(patient(t), 1); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
	if s := m.Stats(); s.Wakeups == 0 || s.Bases != 1 {
		t.Errorf("stats %+v", s)
	}
	// The mirror holds blocks, and cannot read them.
	st, err := m.store.DB().Core(key.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	for i := range st.Head().Length {
		raw, err := st.Block(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		if containsText(raw, "first") {
			t.Errorf("block %d is readable: %q", i, raw)
		}
	}
}
