package api

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/handoff"
	"github.com/tradle/cloudpal/internal/identity"
	"github.com/tradle/cloudpal/internal/invite"
	"github.com/tradle/cloudpal/internal/space"
)

// AddDeviceRequest shows a code by which another device becomes one of the person on
// this one. The answer is a [Code], and an [Added] when it did.
type AddDeviceRequest struct {
	Connect
	// Passphrase opens the key of this device, if it has one.
	Passphrase string `json:"passphrase,omitempty"`
}

// UnlockRequest opens the key of this device for as long as the node runs. The answer is
// an [Identity].
type UnlockRequest struct {
	Passphrase string `json:"passphrase,omitempty"`
}

// TypeAdded is the event of [Added].
const TypeAdded = "added"

// Added says that a device became one of the person's.
type Added struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Key  string `json:"key"`
}

func (h *handler) unlock(_ context.Context, r UnlockRequest, s *Stream) error {
	i, err := h.Person.Unlock(r.Passphrase)
	if err != nil {
		return err
	}
	return sendIdentity(s, i)
}

func (h *handler) addDevice(ctx context.Context, r AddDeviceRequest, s *Stream) error {
	i, err := h.Person.Unlock(r.Passphrase)
	if err != nil {
		return err
	}
	home, err := h.home(ctx)
	if err != nil {
		return err
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	m := Meeting{LAN: r.LAN, Swarm: r.Swarm, Listen: r.Listen}
	opts, _ := h.meeting(&m, "invite", s)
	way, end := h.rendezvous(&m, s)
	defer end()
	var added *identity.Request
	err = handoff.Introduce(ctx, way, opts, true, func(stream io.ReadWriter) error {
		added, err = i.Offer(stream, func(identity.Request) ([]byte, error) { return []byte(home.Link()), nil })
		return err
	})
	if err != nil {
		return err
	}
	s.Send(TypeAdded, Added{TypeAdded, added.Name, added.Device.String()})
	// It has to get the space from somebody.
	return h.awaitDevice(ctx, home, added)
}

// awaitDevice waits until a new device is one of its person's space.
func (h *handler) awaitDevice(ctx context.Context, home *space.Space, added *identity.Request) error {
	for {
		changed := home.Changed()
		devices, err := home.Devices(ctx)
		if err != nil {
			return err
		}
		for _, d := range devices {
			if d.Key == added.Device {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// home returns the space of all devices of the person, and makes it if this is the first.
func (h *handler) home(ctx context.Context) (*space.Space, error) {
	if home := h.Spaces.Home(); home != nil {
		return home, nil
	}
	return h.Spaces.CreateHome(ctx, HomeName)
}

// HomeName is what the space of all devices of a person is called.
const HomeName = "home"

func (h *handler) joinSpace(ctx context.Context, r JoinRequest, s *Stream) error {
	if r.Device != "" {
		if err := h.Spaces.SetDevice(r.Device, false); err != nil {
			return err
		}
	} else {
		r.Device = machineName()
	}
	_, unknown := h.Identity.Load()
	if IsCode(r.Ref) && fault.KindOf(unknown) == fault.NotFound {
		return h.joinPerson(ctx, r, s)
	}
	if unknown != nil {
		return unknown
	}
	var i *blindpairing.Invite
	var err error
	if IsCode(r.Ref) {
		if i, err = h.hearInvite(ctx, r.Connect, r.Ref, s); errors.Is(err, handoff.ErrPurpose) {
			err = h.somebodyAlready(err)
		}
	} else {
		i, err = invite.Parse(r.Ref)
	}
	if err != nil {
		return err
	}
	c := r.Connect
	c.Rooms = append(c.Rooms, Room{Topic: i.DiscoveryKey})
	_, leave, err := h.join(ctx, c, s, nil)
	if err != nil {
		return err
	}
	defer leave()
	together, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer together()
	if r.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Patience)
		defer cancel()
	}
	sp, err := h.Spaces.Join(ctx, i, r.Name)
	if err != nil {
		return err
	}
	return h.arrive(ctx, sp, func(ctx context.Context) error { return sp.WaitInvited(ctx, i.ID()) }, s)
}

// somebodyAlready explains why a code that may be that of another device is refused here.
func (h *handler) somebodyAlready(err error) error {
	if len(h.Spaces.Spaces()) == 0 && len(h.Files.Records()) == 0 {
		err = fault.WithHint(err, "there is nothing here yet: to start anew stop the node, delete its data folder (cloudpal info shows it), and join again")
	}
	return fault.WithHint(err, "a code of \"device add\" is for a machine that belongs to nobody yet; this one is somebody already, see cloudpal identity show")
}

// arrive waits until this device is a member of a space that it has joined. If that
// takes too long it goes on when the space is online again.
func (h *handler) arrive(ctx context.Context, sp *space.Space, member func(context.Context) error, s *Stream) error {
	if err := member(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return sendSpace(context.WithoutCancel(ctx), sp, s)
}

// joinPerson makes this device one of the person at whose device the code is shown.
func (h *handler) joinPerson(ctx context.Context, r JoinRequest, s *Stream) error {
	p, err := identity.ParseProtection(r.Protection)
	if err != nil {
		return err
	}
	newcomer, err := h.Identity.Newcomer(r.Device, p, r.Passphrase)
	if err != nil {
		return err
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	m := Meeting{Code: r.Ref, Device: r.Device, LAN: r.LAN, Swarm: r.Swarm, Peers: r.Peers, Patience: r.Patience}
	opts, _ := h.meeting(&m, "join", s)
	way, end := h.rendezvous(&m, s)
	defer end()
	var home *space.Space
	err = handoff.Introduce(ctx, way, opts, false, func(stream io.ReadWriter) error {
		i, err := newcomer.Accept(stream, func(i *identity.Identity, welcome []byte) error {
			h.Person.Set(i)
			if err := h.Spaces.SetDevice(r.Device, false); err != nil {
				return err
			}
			home, err = h.Spaces.OpenLink(ctx, string(welcome), HomeName, true)
			return err
		})
		if err == nil {
			err = sendIdentity(s, i)
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Patience)
		defer cancel()
	}
	return h.arrive(ctx, home, home.WaitMember, s)
}

// machineName is what this machine is called.
func machineName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "a device"
	}
	return name
}

// DevicesRequest lists the devices of the person on this one, or removes one of them from
// all spaces first. The answer holds a [Device] for each.
type DevicesRequest struct {
	Connect
	// Remove is the name of the device, or the key of its log in the home.
	Remove string `json:"remove,omitempty"`
}

func (h *handler) devices(ctx context.Context, r DevicesRequest, s *Stream) error {
	home := h.ownSpace(ctx)
	if _, err := h.Identity.Load(); err != nil {
		return err
	}
	if home == nil || r.Remove != "" && home != h.Spaces.Home() {
		return fault.New(fault.NotFound, "this device is the only one").Hint("add another one: cloudpal device add")
	}
	if r.Remove != "" {
		leave, err := h.online(ctx, r.Connect, s)
		if err != nil {
			return err
		}
		defer leave()
		if err := h.removeDevice(ctx, home, r.Remove); err != nil {
			return err
		}
	}
	return sendOwnDevices(ctx, home, s)
}

// removeDevice removes a device from all spaces. The home is the last, so that who is
// interrupted can go on; so can who removes it from a space that could not do it before.
func (h *handler) removeDevice(ctx context.Context, home *space.Space, ref string) error {
	devices, err := home.Devices(ctx)
	if err != nil {
		return err
	}
	devices = slices.DeleteFunc(devices, func(d space.Device) bool { return d.Removed && len(h.memberships(ctx, home, d.Key)) == 0 })
	log, err := find(devices, ref, "device", home.Name(), func(d space.Device) (string, string, hypercrypto.Key) { return d.Log.Hex(), d.Name, d.Log })
	if err != nil {
		return err
	}
	d := devices[slices.IndexFunc(devices, func(d space.Device) bool { return d.Log == log })]
	if d.Self {
		return fault.New(fault.Usage, "this is the device itself").Hint("remove it on another one of yours, or leave the spaces")
	}
	var wg sync.WaitGroup
	there := h.memberships(ctx, home, d.Key)
	errs := make([]error, len(there), len(there)+1)
	for i, m := range there {
		wg.Go(func() { errs[i] = m.space.RemoveDevice(ctx, m.log) })
	}
	wg.Wait()
	if ctx.Err() == nil && !d.Removed {
		errs = append(errs, home.RemoveDevice(ctx, log))
	}
	return errors.Join(errs...)
}

// membership is a device in a space.
type membership struct {
	space *space.Space
	log   hypercrypto.Key
}

// memberships returns the spaces beside the home that a device is a member of, as far as
// they can be read.
func (h *handler) memberships(ctx context.Context, home *space.Space, device hypercrypto.PublicKey) (list []membership) {
	for _, sp := range h.Spaces.Spaces() {
		if sp == home {
			continue
		}
		devices, err := sp.Devices(ctx)
		if err != nil {
			continue
		}
		for _, d := range devices {
			if d.Key == device && !d.Removed {
				list = append(list, membership{sp, d.Log})
			}
		}
	}
	return list
}
