package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/invite"
	"github.com/tradle/cloudpal/internal/space"
)

// SpacesRequest lists the spaces of this device. The answer holds a [Space] for each.
type SpacesRequest struct{}

// CreateSpaceRequest makes a space, whose owner is the person on this device. "home" is the
// space of all devices of the person. The answer is a [Space].
type CreateSpaceRequest struct {
	Name string `json:"name"`
}

// InviteRequest invites into a space. The answer is an [Invited], or with Code a [Code].
// With Wait it then goes on, with a [Person] for each who was let in, for as long as the
// request lasts, or until the invite is used up.
type InviteRequest struct {
	Connect
	// Space is the name of the space here.
	Space string `json:"space"`
	// Role is "owner", "editor" or "viewer".
	Role string `json:"role"`
	// Uses is how many devices it lets in; 0 is any number.
	Uses int `json:"uses,omitempty"`
	// Lasts is how long it is good; 0 is for ever.
	Lasts time.Duration `json:"lasts,omitempty"`
	// Label tells people what the invite is for.
	Label string `json:"label,omitempty"`
	// Code shows a short code to say to the other side, and tells it the invite.
	Code bool `json:"code,omitempty"`
	Wait bool `json:"wait,omitempty"`
}

// InvitationsRequest lists the invites of a space, or revokes one. The answer holds an
// [Invitation] for each.
type InvitationsRequest struct {
	Space string `json:"space"`
	// Revoke is the ID of an invite.
	Revoke string `json:"revoke,omitempty"`
}

// JoinRequest joins a space by an invite, or makes this device one of a person by the
// code that another device shows. The answer is a [Space].
type JoinRequest struct {
	Connect
	// Ref is an invite or a code.
	Ref string `json:"ref"`
	// Name is what the space is called here; empty is as the others call it.
	Name string `json:"name,omitempty"`
	// Device is what this device is called, unless it has a name in a space already; empty is
	// the name of the machine.
	Device string `json:"device,omitempty"`
	// KeyProtection is how the key of a device that becomes one of a person is kept.
	KeyProtection
}

// MembersRequest lists the members of a space and their devices, or changes one of them
// first. The answer holds a [Person] for each, and a [Device].
type MembersRequest struct {
	Connect
	Space string `json:"space"`
	// Remove ends the membership of a person or mirror, or of a device, named by key or
	// name; Role changes that of Person.
	Remove string `json:"remove,omitempty"`
	Device string `json:"device,omitempty"`
	Person string `json:"person,omitempty"`
	Role   string `json:"role,omitempty"`
	// Former lists those who were members, too.
	Former bool `json:"former,omitempty"`
}

// SpaceSettingRequest changes a setting of a space, or with Rename the name of the person
// on this device. The answer is a [Space].
type SpaceSettingRequest struct {
	Space string `json:"space"`
	// Name is "name", "trash-days" or "history-days".
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
	// Person is the new name of the person on this device.
	Person string `json:"person,omitempty"`
}

// LeaveRequest leaves a space, or only forgets it on this device.
type LeaveRequest struct {
	Connect
	Space string `json:"space"`
	// Forget keeps the membership, and the space on other devices of the person.
	Forget bool `json:"forget,omitempty"`
}

// AddMirrorRequest makes a blind peer keep a space. The answer is a [Space].
type AddMirrorRequest struct {
	Space string `json:"space"`
	// Mirror is its public key, Name what it is called.
	Mirror string `json:"mirror"`
	Name   string `json:"name,omitempty"`
}

// The names of the events about spaces.
const (
	TypeSpace      = "space"
	TypePerson     = "person"
	TypeDevice     = "device"
	TypeInvitation = "invitation"
)

// Space is a space on this device.
type Space struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Key  string `json:"key"`
	// Home says that it is the space of all devices of one person.
	Home bool `json:"home,omitempty"`
	// Role is that of the person on this device; empty until the space has arrived.
	Role string `json:"role,omitempty"`
	// Removed says that this device was a member.
	Removed  bool `json:"removed,omitempty"`
	Writable bool `json:"writable"`
	// Tip counts the operations here, Confirmed those whose order is final, Signed those
	// that a quorum of indexers signed.
	Tip       uint64 `json:"tip"`
	Confirmed uint64 `json:"confirmed"`
	Signed    uint64 `json:"signed"`
	// Hash is equal on devices with the same state.
	Hash string `json:"hash"`
	// Error says why the space does not go on here.
	Error string `json:"error,omitempty"`
}

// Person is a member of a space, or a mirror.
type Person struct {
	Type string `json:"type"`
	// Key names the person, or the node of a mirror.
	Key     string `json:"key"`
	Name    string `json:"name"`
	Role    string `json:"role"`
	Removed bool   `json:"removed,omitempty"`
	Self    bool   `json:"self,omitempty"`
}

// Device is a device in a space.
type Device struct {
	Type string `json:"type"`
	// Log is the key of its log, by which it is removed; Person whose it is.
	Log    string `json:"log"`
	Person string `json:"person"`
	Name   string `json:"name"`
	// AlwaysOn says that it means to be reachable at any time, Indexer that it confirms
	// what others write.
	AlwaysOn bool `json:"alwaysOn,omitempty"`
	Indexer  bool `json:"indexer,omitempty"`
	Removed  bool `json:"removed,omitempty"`
	Self     bool `json:"self,omitempty"`
}

// Invitation is an invite of a space as its members see it.
type Invitation struct {
	Type    string    `json:"type"`
	ID      string    `json:"id"`
	Role    string    `json:"role"`
	Label   string    `json:"label,omitempty"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires,omitzero"`
	// Uses is how many devices it lets in, 0 any number; Used how many it did.
	Uses    uint64 `json:"uses"`
	Used    uint64 `json:"used"`
	Revoked bool   `json:"revoked,omitempty"`
}

func describeSpace(ctx context.Context, s *space.Space) (Space, error) {
	st, err := s.Status(ctx)
	if err != nil {
		return Space{}, err
	}
	out := Space{Type: TypeSpace, Name: s.Name(), Key: s.Key().Hex(), Home: s.Record().Home, Writable: st.Writable, Tip: st.Tip, Confirmed: st.Confirmed,
		Signed: st.Signed, Hash: hypercrypto.Key(st.Hash).Hex()}
	switch {
	case st.Role != 0:
		out.Role = st.Role.String()
	default:
		devices, err := s.Devices(ctx)
		if err != nil {
			return out, err
		}
		out.Removed = slices.ContainsFunc(devices, func(d space.Device) bool { return d.Self && d.Removed })
	}
	if st.Err != nil {
		out.Error = st.Err.Error()
	}
	return out, nil
}

func sendSpace(ctx context.Context, sp *space.Space, s *Stream) error {
	out, err := describeSpace(ctx, sp)
	if err != nil {
		return err
	}
	return s.Send(TypeSpace, out)
}

func (h *handler) spaces(ctx context.Context, _ SpacesRequest, s *Stream) error {
	records, failed := h.Spaces.Records()
	for _, r := range records {
		if err := failed[r.Key]; err != nil {
			s.Send(TypeSpace, Space{Type: TypeSpace, Name: r.Name, Key: r.Key.Hex(), Home: r.Home, Error: err.Error()})
			continue
		}
		sp, err := h.Spaces.Get(r.Key.Hex())
		if err != nil {
			return err
		}
		if err := sendSpace(ctx, sp, s); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) createSpace(ctx context.Context, r CreateSpaceRequest, s *Stream) error {
	if _, err := h.Spaces.Get(r.Name); fault.KindOf(err) != fault.NotFound || err == nil {
		return fault.New(fault.Conflict, "there is a space %q here already", r.Name).Hint("choose another name")
	}
	var sp *space.Space
	var err error
	if r.Name == HomeName {
		sp, err = h.home(ctx) // no other space is to be taken for it later
	} else {
		sp, err = h.Spaces.Create(ctx, r.Name)
	}
	if err != nil {
		return err
	}
	return sendSpace(ctx, sp, s)
}

func (h *handler) invite(ctx context.Context, r InviteRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	role, err := space.ParseRole(r.Role)
	if err != nil {
		return err
	}
	if sp.Record().Home && role != space.Owner {
		return fault.New(fault.Usage, "space %q is that of your own devices: nobody else can join it", sp.Name()).
			Hint("another machine of yours: cloudpal device add").Hint("to share with others make a space: cloudpal space create NAME").
			Hint("a device of yours that you removed comes back with an invite as owner: --role owner")
	}
	i, err := sp.Invite(ctx, space.InviteOptions{Role: role, Uses: r.Uses, Lasts: r.Lasts, Label: r.Label})
	if err != nil {
		return err
	}
	id := i.ID()
	if !r.Code {
		s.Send(TypeInvited, Invited{TypeInvited, invite.Link(i)})
		if !r.Wait {
			return nil
		}
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	if r.Code {
		if err := h.tellInvite(ctx, r.Connect, i, s); err != nil {
			return errors.Join(err, sp.Revoke(context.WithoutCancel(ctx), id)) // nobody has it
		}
	}
	return h.reportJoins(ctx, sp, id, s)
}

// reportJoins reports who joins a space, until the invite is used up.
func (h *handler) reportJoins(ctx context.Context, sp *space.Space, id hypercrypto.Hash, s *Stream) error {
	known := make(map[string]bool)
	for first := true; ; first = false {
		changed := sp.Changed()
		people, err := sp.Members(ctx)
		if err != nil {
			return err
		}
		for _, m := range people {
			p := describePerson(m)
			if !first && !known[p.Key] {
				s.Send(TypePerson, p)
			}
			known[p.Key] = true
		}
		invites, err := sp.Invites(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(invites, func(v space.Invitation) bool { return v.ID == id && v.Uses > 0 && v.Used >= v.Uses }) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *handler) invitations(ctx context.Context, r InvitationsRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	if r.Revoke != "" {
		id, err := hypercrypto.ParseKey(r.Revoke)
		if err != nil {
			return fault.New(fault.Usage, "invite %q: %w", r.Revoke, err).Hint("see them: cloudpal space invites %s", fault.Word(r.Space))
		}
		if err := sp.Revoke(ctx, hypercrypto.Hash(id)); err != nil {
			return err
		}
	}
	list, err := sp.Invites(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b space.Invitation) int { return a.Made.Compare(b.Made) })
	for _, i := range list {
		s.Send(TypeInvitation, Invitation{TypeInvitation, hypercrypto.Key(i.ID).Hex(), i.Role.String(), i.Label, i.Made, i.Expires, i.Uses, i.Used, i.Revoked})
	}
	return nil
}

func describePerson(m space.Member) Person {
	return Person{TypePerson, m.Person.String(), m.Name, m.Role.String(), m.Removed, m.Self}
}

func describeDevice(d space.Device) Device {
	return Device{TypeDevice, d.Log.Hex(), d.Person.String(), d.Name, d.AlwaysOn, d.Indexer, d.Removed, d.Self}
}

func (h *handler) members(ctx context.Context, r MembersRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	if r.Remove != "" || r.Device != "" || r.Person != "" {
		leave, err := h.online(ctx, r.Connect, s)
		if err != nil {
			return err
		}
		defer leave()
		if err := changeMember(ctx, sp, &r); err != nil {
			return err
		}
	}
	people, err := sp.Members(ctx)
	if err != nil {
		return err
	}
	devices, err := sp.Devices(ctx)
	if err != nil {
		return err
	}
	for _, m := range people {
		if m.Removed && !r.Former {
			continue
		}
		s.Send(TypePerson, describePerson(m))
		for _, d := range devices {
			if d.Person == m.Person && (!d.Removed || r.Former) {
				s.Send(TypeDevice, describeDevice(d))
			}
		}
	}
	return nil
}

func changeMember(ctx context.Context, sp *space.Space, r *MembersRequest) error {
	if r.Device != "" {
		log, err := findDevice(ctx, sp, r.Device)
		if err != nil {
			return err
		}
		return sp.RemoveDevice(ctx, log)
	}
	if r.Remove != "" {
		who, err := findPerson(ctx, sp, r.Remove)
		if err != nil {
			return err
		}
		return sp.Remove(ctx, who)
	}
	role, err := space.ParseRole(r.Role)
	if err != nil {
		return err
	}
	who, err := findPerson(ctx, sp, r.Person)
	if err != nil {
		return err
	}
	return sp.SetRole(ctx, who, role)
}

// findPerson finds a member by key, the beginning of it, or name.
func findPerson(ctx context.Context, sp *space.Space, ref string) (hypercrypto.PublicKey, error) {
	people, err := sp.Members(ctx)
	if err != nil {
		return hypercrypto.PublicKey{}, err
	}
	people = slices.DeleteFunc(people, func(m space.Member) bool { return m.Removed })
	return find(people, ref, "member", sp.Name(), func(m space.Member) (string, string, hypercrypto.PublicKey) {
		return m.Person.String(), m.Name, m.Person
	})
}

func findDevice(ctx context.Context, sp *space.Space, ref string) (hypercrypto.Key, error) {
	devices, err := sp.Devices(ctx)
	if err != nil {
		return hypercrypto.Key{}, err
	}
	devices = slices.DeleteFunc(devices, func(d space.Device) bool { return d.Removed })
	return find(devices, ref, "device", sp.Name(), func(d space.Device) (string, string, hypercrypto.Key) { return d.Log.Hex(), d.Name, d.Log })
}

// find finds the one of a list that a person means: by its key, or by a name that only
// it has.
func find[T, K any](list []T, ref, what, space string, of func(T) (key, name string, value K)) (found K, err error) {
	var names []string
	matches := 0
	for _, x := range list {
		key, name, value := of(x)
		names = append(names, name)
		if key == ref {
			return value, nil
		}
		if name == ref {
			found = value
			matches++
		}
	}
	switch matches {
	case 1:
		return found, nil
	case 0:
		f := fault.New(fault.NotFound, "space %q has no %s %q", space, what, ref)
		for _, name := range names {
			f = f.Hint("there is %q", name)
		}
		return found, f
	}
	return found, fault.New(fault.Usage, "%d of space %q are called %q", matches, space, ref).Hint("name the one you mean by its key, as --json shows it")
}

func (h *handler) setSpace(ctx context.Context, r SpaceSettingRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	switch {
	case r.Person != "":
		err = sp.Rename(ctx, r.Person)
	case r.Name == "name" && r.Value != "":
		err = sp.SetSetting(ctx, r.Name, []byte(r.Value))
	case r.Name == "trash-days" || r.Name == "history-days":
		days, e := strconv.Atoi(r.Value)
		if e != nil {
			err = fault.New(fault.Usage, "%q is no number of days", r.Value)
			break
		}
		err = h.SpaceFiles.Of(sp).SetDays(ctx, "files-"+r.Name, days)
	default:
		err = fault.New(fault.Usage, "spaces have no setting %q", r.Name).Hint("there are name, trash-days and history-days")
	}
	if err != nil {
		return err
	}
	return sendSpace(ctx, sp, s)
}

func (h *handler) leaveSpace(ctx context.Context, r LeaveRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	for _, f := range h.Folders.Records() {
		if f.Space == sp.Key() {
			return fault.New(fault.Conflict, "%s is kept equal with space %q", f.Dir, r.Space).Hint("stop that first: cloudpal sync stop %s", fault.Word(f.Dir))
		}
	}
	if r.Forget {
		return h.SpaceFiles.Drop(ctx, sp, func() error { return h.Spaces.Forget(ctx, sp) })
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	return h.SpaceFiles.Drop(ctx, sp, func() error { return h.Spaces.Leave(ctx, sp) })
}

func (h *handler) addMirror(ctx context.Context, r AddMirrorRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	keys, err := ParseKeys("mirror", []string{r.Mirror})
	if err != nil {
		return err
	}
	if r.Name == "" {
		r.Name = "mirror " + keys[0].String()[:6]
	}
	if err := sp.AddMirror(ctx, keys[0], r.Name); err != nil {
		return err
	}
	return sendSpace(ctx, sp, s)
}

// online keeps this node where the members of all its spaces meet, until leave is
// called.
func (h *handler) online(ctx context.Context, c Connect, s *Stream) (leave func(), err error) {
	return h.Together(ctx, c, func(p Peer) {
		p.Type = TypePeer
		s.Tell(TypePeer, p)
	}, func(listen []string) {
		if c.AnyListener || len(c.Listen) > 0 {
			s.Send(TypeListening, Listening{TypeListening, listen})
		}
	})
}
