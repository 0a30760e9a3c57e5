package api

import (
	"context"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space"
)

// RenameDeviceRequest gives one of the devices of the person on this one another name, in
// all spaces. The answer holds a [Device] for each.
type RenameDeviceRequest struct {
	// Device is its name, or the key of its log in the home.
	Device string `json:"device"`
	Name   string `json:"name"`
}

func (h *handler) renameDevice(ctx context.Context, r RenameDeviceRequest, s *Stream) error {
	first, key, err := h.ownDevice(ctx, r.Device)
	if err != nil {
		return err
	}
	// The first space is the last, so that who is interrupted can go on.
	for _, sp := range append(slices.DeleteFunc(h.Spaces.Spaces(), func(sp *space.Space) bool { return sp == first }), first) {
		devices, err := sp.Devices(ctx)
		if err != nil {
			return err
		}
		for _, d := range devices {
			if d.Key == key && !d.Removed && d.Name != r.Name {
				if err := sp.RenameDevice(ctx, d.Log, r.Name); err != nil {
					return err
				}
			}
		}
	}
	return sendOwnDevices(ctx, first, s)
}

// ownSpace returns the space that tells which devices the person on this one has: the home,
// or else the first that this device is in; nil if there is none.
func (h *handler) ownSpace(ctx context.Context) *space.Space {
	if home := h.Spaces.Home(); home != nil {
		return home
	}
	for _, sp := range h.Spaces.Spaces() {
		if st, err := sp.Status(ctx); err == nil && st.Role != 0 {
			return sp
		}
	}
	return nil
}

// ownDevice finds a device of the person on this one, in the space that tells.
func (h *handler) ownDevice(ctx context.Context, ref string) (in *space.Space, key hypercrypto.PublicKey, err error) {
	if in = h.ownSpace(ctx); in == nil {
		return nil, key, fault.New(fault.NotFound, "this device is in no space, so nobody sees its name").Hint("make one: cloudpal space create NAME")
	}
	devices, err := ownDevices(ctx, in)
	if err != nil {
		return nil, key, err
	}
	key, err = find(devices, ref, "device of yours called", in.Name(), func(d space.Device) (string, string, hypercrypto.PublicKey) { return d.Log.Hex(), d.Name, d.Key })
	return in, key, err
}

// ownDevices returns the devices that the person on this one has in a space.
func ownDevices(ctx context.Context, sp *space.Space) ([]space.Device, error) {
	devices, err := sp.Devices(ctx)
	if err != nil {
		return nil, err
	}
	var self hypercrypto.PublicKey
	for _, d := range devices {
		if d.Self {
			self = d.Person
		}
	}
	return slices.DeleteFunc(devices, func(d space.Device) bool { return d.Removed || d.Person != self }), nil
}

func sendOwnDevices(ctx context.Context, sp *space.Space, s *Stream) error {
	devices, err := ownDevices(ctx, sp)
	for _, d := range devices {
		s.Send(TypeDevice, describeDevice(d))
	}
	return err
}
