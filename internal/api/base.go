package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/base"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/invite"
	"github.com/tradle/cloudpal/internal/link"
)

// BasesRequest lists the bases of the node, as [Base] events.
type BasesRequest struct{}

// BaseCreateRequest makes a base; the answer holds a [Base].
type BaseCreateRequest struct {
	Name string `json:"name"`
	// Plain leaves the logs unencrypted, so that mirrors can read them.
	Plain bool `json:"plain,omitempty"`
}

// BaseJoinRequest joins a base: with an invite it waits until a member lets this
// device in, with a link it only remembers the base. The answer holds a [Base].
type BaseJoinRequest struct {
	Connect
	Name string `json:"name"`
	// Ref is an invite, the code by which somebody tells one, or the link of a base.
	Ref string `json:"ref"`
}

// BaseAppendRequest changes a base. The answer is [Done] once the change is durable
// here.
type BaseAppendRequest struct {
	Name string `json:"name"`
	// Put sets keys to values, Delete removes keys; all is one change.
	Put    []Pair   `json:"put,omitempty"`
	Delete []string `json:"delete,omitempty"`
}

// Pair is a key of a base and its value.
type Pair struct {
	Type  string `json:"type,omitempty"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// BaseViewRequest lists keys and values as [Pair] events, and ends with a [Base].
type BaseViewRequest struct {
	Connect
	Name string `json:"name"`
	// Prefix lists keys that begin with it.
	Prefix string `json:"prefix,omitempty"`
	// Follow lists nothing: it keeps the base online, and reports a [Base] with every
	// change.
	Follow bool `json:"follow,omitempty"`
}

// BaseMembersRequest adds or removes members by the keys of their logs, and lists
// them as [Member] events.
type BaseMembersRequest struct {
	Connect
	Name    string `json:"name"`
	Add     string `json:"add,omitempty"`
	Indexer bool   `json:"indexer,omitempty"` // of Add
	Remove  string `json:"remove,omitempty"`
}

// BaseInviteRequest makes an invite, answers with an [Invited], and lets devices in
// that use it or an earlier one, each a [Joined], for as long as the request lasts.
type BaseInviteRequest struct {
	Connect
	Name string `json:"name"`
	// Uses is how many devices the invite lets in; 0 is any number.
	Uses int `json:"uses,omitempty"`
	// Lasts is how long it is good; 0 is for ever.
	Lasts time.Duration `json:"lasts,omitempty"`
	// Indexer makes the devices take part in confirming the order.
	Indexer bool `json:"indexer,omitempty"`
	// Serve makes no new invite.
	Serve bool `json:"serve,omitempty"`
	// Code tells the invite to who types in a code, which comes as a [Code], instead of
	// answering with it. The code is good for one try.
	Code bool `json:"code,omitempty"`
}

// The events of bases.
const (
	TypeBase    = "base"
	TypePair    = "pair"
	TypeMember  = "member"
	TypeInvited = "invited"
	TypeJoined  = "joined"
)

// Base is the state of a base.
type Base struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Link string `json:"link"`
	Key  string `json:"key"`
	// Local is the key of this device's log, by which a member adds it.
	Local    string   `json:"local"`
	Writable bool     `json:"writable"`
	Members  uint64   `json:"members"`
	Indexers []string `json:"indexers"`
	// Tip counts the operations here, Confirmed those whose order is final, Signed
	// those that a quorum of indexers signed; in blocks of the system view.
	Tip       uint64 `json:"tip"`
	Confirmed uint64 `json:"confirmed"`
	Signed    uint64 `json:"signed"`
	// Hash is that of the system view: devices with the same hash have the same
	// state.
	Hash  string     `json:"hash"`
	Views []BaseView `json:"views"`
}

// BaseView is the state of a view.
type BaseView struct {
	Name   string `json:"name"`
	Key    string `json:"key"`
	Length uint64 `json:"length"`
	Signed uint64 `json:"signed"`
	Hash   string `json:"hash"`
}

// Member is a device that writes, or wrote, to a base.
type Member struct {
	Type    string `json:"type"`
	Key     string `json:"key"`
	Indexer bool   `json:"indexer"`
	Removed bool   `json:"removed"`
	Length  uint64 `json:"length"`
	Self    bool   `json:"self"`
}

// Invited is an invite. It is a secret.
type Invited struct {
	Type string `json:"type"`
	Link string `json:"link"`
}

// Joined says that a device was let in.
type Joined struct {
	Type string `json:"type"`
	// Key is that of its log.
	Key string `json:"key"`
}

func describeBase(b *base.Base) Base {
	r, s := b.Record(), b.Status()
	out := Base{Type: TypeBase, Name: r.Name, Link: r.Link, Key: r.Key().Hex(), Local: b.Local().Hex(), Writable: s.Writable, Members: s.Members,
		Indexers: []string{}, Tip: s.Tip, Confirmed: s.Confirmed, Signed: s.Signed, Hash: hypercrypto.Key(s.Hash).Hex(), Views: []BaseView{}}
	for _, i := range s.Indexers {
		out.Indexers = append(out.Indexers, i.Key.Hex())
	}
	for _, v := range s.Views {
		out.Views = append(out.Views, BaseView{v.Name, v.Key.Hex(), v.Length, v.Signed, hypercrypto.Key(v.Hash).Hex()})
	}
	return out
}

func (h *handler) bases(ctx context.Context, _ BasesRequest, s *Stream) error {
	for _, r := range h.Bases.Records() {
		b, err := h.Bases.Get(ctx, r.Name)
		if err != nil {
			return err
		}
		s.Send(TypeBase, describeBase(b))
		if err := b.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) baseCreate(ctx context.Context, r BaseCreateRequest, s *Stream) error {
	b, err := h.Bases.Create(ctx, r.Name, !r.Plain)
	if err != nil {
		return err
	}
	s.Send(TypeBase, describeBase(b))
	return b.Close()
}

func (h *handler) baseJoin(ctx context.Context, r BaseJoinRequest, s *Stream) error {
	i, notInvite := invite.Parse(r.Ref)
	if IsCode(r.Ref) {
		if i, notInvite = h.hearInvite(ctx, r.Connect, r.Ref, s); notInvite != nil {
			return notInvite
		}
	}
	if notInvite != nil && link.Is(r.Ref) {
		return notInvite
	}
	if notInvite != nil {
		b, err := h.Bases.Join(ctx, r.Name, r.Ref)
		if err != nil {
			return err
		}
		s.Send(TypeBase, describeBase(b))
		return b.Close()
	}
	r.Rooms = append(r.Rooms, Room{Topic: i.DiscoveryKey})
	_, leave, err := h.join(ctx, r.Connect, s, nil)
	if err != nil {
		return err
	}
	defer leave()
	if r.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Patience)
		defer cancel()
	}
	b, err := h.Bases.Accept(ctx, r.Name, i)
	if err != nil {
		return err
	}
	defer b.Close()
	// What made this device a member has to arrive before it can write. If that takes
	// too long it goes on when the base is online again.
	if err := b.WaitWritable(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return s.Send(TypeBase, describeBase(b))
}

func (h *handler) baseAppend(ctx context.Context, r BaseAppendRequest, s *Stream) error {
	b, err := h.Bases.Get(ctx, r.Name)
	if err != nil {
		return err
	}
	defer b.Close()
	var puts []base.Pair
	for _, p := range r.Put {
		puts = append(puts, base.Pair{Key: p.Key, Value: p.Value})
	}
	if err := b.Change(ctx, puts, r.Delete); err != nil {
		return err
	}
	s.Send(TypeBase, describeBase(b))
	return nil
}

// baseOnline opens a base and has it exchanged with peers until release is called.
func (h *handler) baseOnline(ctx context.Context, name string, c Connect, s *Stream) (b *base.Base, release func(), err error) {
	if b, err = h.Bases.Get(ctx, name); err != nil {
		return nil, nil, err
	}
	key := b.Record().Key()
	_, leave, err := h.join(ctx, c.meet(true, key), s, nil)
	if err != nil {
		b.Close()
		return nil, nil, err
	}
	release = func() { leave(); b.Close() }
	mirrors, err := ParseKeys("--mirror", c.Mirrors)
	if err == nil && len(mirrors) > 0 {
		var k *blindpeer.Keeping
		k, err = h.Mirrors.Keep(blindpeer.Subject{
			Target: key, Referrer: &key, Mirrors: mirrors, Pick: len(mirrors), Priority: blindpeer.PriorityNormal,
			Logs: func() (list []blindpeer.Log) {
				for _, l := range b.Logs() {
					list = append(list, blindpeer.Log{Key: l.Key, Length: l.Length})
				}
				return list
			},
		})
		if err == nil {
			stop := updateWith(b, k)
			release = func() { stop(); k.Close(); leave(); b.Close() }
		}
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return b, release, nil
}

// updateWith tells mirrors of logs that a base gets, until stop is called.
func updateWith(b *base.Base, k *blindpeer.Keeping) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			changed := b.Changed()
			k.Update()
			select {
			case <-changed:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (h *handler) baseView(ctx context.Context, r BaseViewRequest, s *Stream) error {
	if !r.Follow {
		b, err := h.Bases.Get(ctx, r.Name)
		if err != nil {
			return err
		}
		defer b.Close()
		for p, err := range b.Entries(ctx, r.Prefix) {
			if err != nil {
				return err
			}
			if err := s.Send(TypePair, Pair{TypePair, p.Key, p.Value}); err != nil {
				return err
			}
		}
		return s.Send(TypeBase, describeBase(b))
	}
	b, release, err := h.baseOnline(ctx, r.Name, r.Connect, s)
	if err != nil {
		return err
	}
	defer release()
	return reportBase(ctx, b, s)
}

// reportBase reports a base with every change of its state.
func reportBase(ctx context.Context, b *base.Base, s *Stream) error {
	var last string
	for {
		changed := b.Changed()
		now := describeBase(b)
		if state := stateText(&now); state != last {
			last = state
			if err := s.Send(TypeBase, now); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stateText is equal for equal states.
func stateText(b *Base) string {
	text := fmt.Sprint(b.Hash, b.Tip, b.Confirmed, b.Signed, b.Writable, b.Members, b.Indexers)
	for _, v := range b.Views {
		text += fmt.Sprint(v)
	}
	return text
}

func (h *handler) baseMembers(ctx context.Context, r BaseMembersRequest, s *Stream) error {
	b, release, err := h.baseOnline(ctx, r.Name, r.Connect, s)
	if err != nil {
		return err
	}
	defer release()
	change, cancel := ctx, context.CancelFunc(func() {})
	if r.Patience > 0 {
		change, cancel = context.WithTimeout(ctx, r.Patience)
	}
	defer cancel()
	for _, c := range []struct {
		key string
		do  func(hypercrypto.Key) error
	}{
		{r.Add, func(k hypercrypto.Key) error { return b.AddMember(change, k, r.Indexer) }},
		{r.Remove, func(k hypercrypto.Key) error { return b.RemoveMember(change, k) }},
	} {
		if c.key == "" {
			continue
		}
		k, err := hypercrypto.ParseKey(c.key)
		if err != nil {
			return fault.New(fault.Usage, "member %q: %w", c.key, err).Hint("a member is named by the key of its log, as \"base join\" prints it there")
		}
		if err := c.do(k); err != nil {
			if change.Err() != nil && ctx.Err() == nil {
				return fault.New(fault.Unavailable, "the change of members before is not confirmed yet: %w", err).Hint("run it again when more indexers are online")
			}
			return err
		}
	}
	list, err := b.Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		s.Send(TypeMember, Member{TypeMember, m.Key.Hex(), m.Indexer, m.Removed, m.Length, m.Self})
	}
	return nil
}

func (h *handler) baseInvite(ctx context.Context, r BaseInviteRequest, s *Stream) error {
	b, release, err := h.baseOnline(ctx, r.Name, r.Connect, s)
	if err != nil {
		return err
	}
	defer release()
	if !r.Serve {
		i, err := b.Invite(ctx, base.InviteOptions{Uses: r.Uses, Lasts: r.Lasts, Indexer: r.Indexer})
		if err != nil {
			return err
		}
		if r.Code {
			var cancel context.CancelCauseFunc
			ctx, cancel = context.WithCancelCause(ctx)
			told := make(chan struct{})
			defer func() { cancel(nil); <-told }()
			go func() {
				defer close(told)
				if err := h.tellInvite(ctx, r.Connect, i, s); err != nil {
					cancel(err)
				}
			}()
		} else {
			s.Send(TypeInvited, Invited{TypeInvited, invite.Link(i)})
		}
	}
	if err := b.ServeInvites(ctx, func(log hypercrypto.Key) { s.Post(TypeJoined, Joined{TypeJoined, log.Hex()}) }); err != nil {
		return err
	}
	return context.Cause(ctx)
}
