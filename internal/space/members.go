package space

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Member is a person in a space, or a mirror.
type Member struct {
	// Person names the person, or the node of a mirror.
	Person hypercrypto.PublicKey
	Name   string
	Role   Role
	// Removed says that the person was a member.
	Removed bool
	// Self is the person on this device.
	Self bool
}

// Device is a device that is or was in a space.
type Device struct {
	// Log is the key of its log, which says who wrote what.
	Log hypercrypto.Key
	// Blobs is the key of its log of contents.
	Blobs hypercrypto.Key
	// Key names the device, Person whose it is.
	Key, Person hypercrypto.PublicKey
	Name        string
	// AlwaysOn says that it means to be reachable at any time, Indexer that it confirms
	// what others write.
	AlwaysOn, Indexer bool
	// Node is the key that it says it has on its connections, zero if it did not say.
	Node hypercrypto.PublicKey
	// Level is what its program understands; 0 if it did not say.
	Level uint64
	// Removed says that it was a member.
	Removed bool
	// Self is this device.
	Self bool
}

// Members returns all people and mirrors, also those that were removed, in the order of
// their keys.
func (s *Space) Members(ctx context.Context) ([]Member, error) {
	tree, release := s.snaps.use()
	defer release()
	r := records{tree}
	people, err := r.people(ctx)
	if err != nil {
		return nil, fmt.Errorf("read members of space %q: %w", s.Name(), err)
	}
	self, err := r.device(ctx, s.Log())
	if err != nil {
		return nil, fmt.Errorf("read members of space %q: %w", s.Name(), err)
	}
	var out []Member
	for _, p := range people {
		out = append(out, Member{
			Person: p.key, Name: p.rec.name, Role: p.rec.role, Removed: p.rec.until != 0,
			Self: self != nil && self.person == p.key,
		})
	}
	return out, nil
}

// Devices returns all devices, also those that were removed, in the order of their logs.
func (s *Space) Devices(ctx context.Context) ([]Device, error) {
	tree, release := s.snaps.use()
	defer release()
	devices, err := records{tree}.devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("read devices of space %q: %w", s.Name(), err)
	}
	var out []Device
	for _, d := range devices {
		out = append(out, Device{
			Log: d.key, Blobs: d.rec.blobs, Key: d.rec.key, Person: d.rec.person, Name: d.rec.name,
			AlwaysOn: d.rec.alwaysOn, Indexer: d.rec.indexer, Level: d.rec.level, Node: d.rec.node,
			Removed: d.rec.until != 0, Self: d.key == s.Log(),
		})
	}
	return out, nil
}

// Setting returns the value of a setting, nil if it is not set.
func (s *Space) Setting(ctx context.Context, name string) ([]byte, error) {
	tree, release := s.snaps.use()
	defer release()
	v, _, err := records{tree}.setting(ctx, name)
	return v, err
}

// SetSetting changes a setting for all members; an empty value removes it. "name" is the
// name of the space.
func (s *Space) SetSetting(ctx context.Context, name string, value []byte) error {
	_, err := s.do(ctx, &setAction{name: name, value: value})
	return err
}

// Rename gives the person on this device another name in the space.
func (s *Space) Rename(ctx context.Context, name string) error {
	if err := checkName("person", name); err != nil {
		return err
	}
	return s.doAnyway(ctx, &renameAction{name: name})
}

// RenameDevice gives a device of the person on this device another name in the space.
func (s *Space) RenameDevice(ctx context.Context, log hypercrypto.Key, name string) error {
	if err := checkName("device", name); err != nil {
		return err
	}
	return s.doAnyway(ctx, &callAction{log: log, name: name})
}

// SetRole changes what a person may do.
func (s *Space) SetRole(ctx context.Context, who hypercrypto.PublicKey, role Role) error {
	_, err := s.do(ctx, &roleAction{person: who, role: role})
	return err
}

// AddMirror enters a node that keeps the space without being able to read it.
func (s *Space) AddMirror(ctx context.Context, node hypercrypto.PublicKey, name string) error {
	if err := checkName("mirror", name); err != nil {
		return err
	}
	_, err := s.do(ctx, &mirrorAction{node: node, name: name})
	return err
}

// Remove ends the membership of a person with all devices, or that of a mirror.
func (s *Space) Remove(ctx context.Context, who hypercrypto.PublicKey) error {
	devices, err := s.Devices(ctx)
	if err != nil {
		return err
	}
	var gone []hypercrypto.Key
	for _, d := range devices {
		if d.Person == who && !d.Removed {
			gone = append(gone, d.Log)
		}
	}
	if err := s.handOver(ctx, gone); err != nil {
		return err
	}
	return s.doAndRotate(ctx, &removeAction{person: who})
}

// RemoveDevice ends the membership of a device, and that of its person if it is the
// last. Everybody may remove their own devices, owners all.
func (s *Space) RemoveDevice(ctx context.Context, log hypercrypto.Key) error {
	if err := s.handOver(ctx, []hypercrypto.Key{log}); err != nil {
		return err
	}
	return s.doAndRotate(ctx, &removeDeviceAction{log: log})
}

// doAnyway writes an action that also those may do who are no writers of the base.
func (s *Space) doAnyway(ctx context.Context, act action) error {
	if s.base.Status().Writable {
		_, err := s.do(ctx, act)
		return err
	}
	return s.doOutside(ctx, act)
}

// doOutside writes an action that has an effect only if the members take it.
func (s *Space) doOutside(ctx context.Context, act action) error {
	values, err := s.envelopes(ctx, 1, coreType, [][]byte{encodeAction(act)})
	if err != nil {
		return err
	}
	r, err := s.base.AppendOptimistic(ctx, values[0])
	if err != nil {
		return s.explain(err)
	}
	o := r.Outcome()
	if o.Err != nil {
		return s.explain(o.Err)
	}
	if o.Ignored {
		return s.explain(errRefused)
	}
	return nil
}
