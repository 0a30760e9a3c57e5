package blindpairing

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// pairing is a case of multi-pairing.json, made by blind-pairing 2.3.1.
type pairing struct {
	Name, Key, Seed                              string
	Expires                                      int64 // milliseconds
	Invite, InviteZ32, InviteID, InvitePublicKey string
	DiscoveryKey                                 string
	Additional                                   *struct{ Data, Signature string }
	UserData, Token, Session, RequestID, Request string
	Receipt, Response                            string
	ResponseStatus                               int
	Auth                                         *struct{ Key, EncryptionKey, Data string }
	DHT                                          struct{ LookupTopic, EphemeralPublicKey, ReplyPublicKey string }
}

func cases(t testing.TB) []pairing {
	t.Helper()
	b, err := os.ReadFile("testdata/multi-pairing.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Cases []pairing }
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v.Cases
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func want(t *testing.T, what string, got []byte, hexed string) {
	t.Helper()
	if s := hex.EncodeToString(got); s != hexed {
		t.Errorf("%s: %s, want %s", what, s, hexed)
	}
}

func TestMessagesOfTheOtherStack(t *testing.T) {
	for _, v := range cases(t) {
		t.Run(v.Name, func(t *testing.T) {
			i, err := ParseInvite(v.InviteZ32)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "invite", i.AppendTo(nil), v.Invite)
			want(t, "seed", i.Seed[:], v.Seed)
			want(t, "discovery key", i.DiscoveryKey[:], v.DiscoveryKey)
			if v.Expires > 0 && i.Expires.Unix() != v.Expires/1000 || v.Expires == 0 && !i.Expires.IsZero() {
				t.Errorf("expires %v", i.Expires)
			}
			id, public := i.ID(), i.KeyPair().Public
			want(t, "invite id", id[:], v.InviteID)
			want(t, "public key", public[:], v.InvitePublicKey)

			c, err := NewCandidate(i, unhex(t, v.UserData))
			if err != nil {
				t.Fatal(err)
			}
			token, requestID := c.Token(), c.Request.ID()
			want(t, "token", token[:], v.Token)
			want(t, "session", c.Request.Session[:], v.Session)
			want(t, "request id", requestID[:], v.RequestID)
			want(t, "request", c.Request.AppendTo(nil), v.Request)
			want(t, "receipt", c.Receipt().AppendTo(nil), v.Receipt)
			ask, reply := RecordKeys(token)
			topic := RecordTopic(i.DiscoveryKey)
			want(t, "topic", topic[:], v.DHT.LookupTopic)
			want(t, "ask", ask.Public[:], v.DHT.EphemeralPublicKey)
			want(t, "reply", reply.Public[:], v.DHT.ReplyPublicKey)

			q, err := DecodeRequest(unhex(t, v.Request))
			if err != nil {
				t.Fatal(err)
			}
			o, err := q.Open(public)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "user data", o.Receipt.UserData, v.UserData)
			if o.Token() != token {
				t.Error("the member has another token")
			}
			if r, err := DecodeReceipt(unhex(t, v.Receipt)); err != nil || !r.Verify(public) {
				t.Errorf("receipt: %v", err)
			}
			var answer []byte
			if v.Auth == nil {
				why := []error{nil, ErrRejected, ErrUsed, ErrExpired}[v.ResponseStatus]
				answer = o.Refuse(why).Message
				if _, err := c.Receive(unhex(t, v.Response)); !errors.Is(err, why) {
					t.Errorf("%v, want %v", err, why)
				}
			} else {
				a := &Answer{Key: hypercrypto.Key(unhex(t, v.Auth.Key))}
				if v.Auth.EncryptionKey != "" {
					k := [32]byte(unhex(t, v.Auth.EncryptionKey))
					a.EncryptionKey = &k
				}
				if v.Additional != nil {
					a.Additional = i.SignData(unhex(t, v.Additional.Data))
					want(t, "signature", a.Additional.Signature[:], v.Additional.Signature)
				}
				answer = o.Accept(a).Message
				got, err := c.Receive(unhex(t, v.Response))
				if err != nil {
					t.Fatal(err)
				}
				if got.Key != a.Key || (got.EncryptionKey == nil) != (a.EncryptionKey == nil) || got.EncryptionKey != nil && *got.EncryptionKey != *a.EncryptionKey ||
					(got.Additional == nil) != (a.Additional == nil) || got.Additional != nil && !bytes.Equal(got.Additional.Data, a.Additional.Data) {
					t.Errorf("received %+v", got)
				}
			}
			want(t, "answer", answer, v.Response)
		})
	}
}

func TestNodesOfNoUseToOthersAreLeftOut(t *testing.T) {
	i := NewInvite(hypercrypto.Key{1})
	for _, a := range []string{"127.0.0.1:1", "10.0.0.1:2", "192.168.1.1:3", "0.0.0.0:4", "[2001:db8::1]:5", "88.99.3.86:49737", "88.99.3.87:0"} {
		i.Nodes = append(i.Nodes, netip.MustParseAddrPort(a))
	}
	again, err := DecodeInvite(i.AppendTo(nil))
	if err != nil || len(again.Nodes) != 1 || again.Nodes[0] != netip.MustParseAddrPort("88.99.3.86:49737") {
		t.Errorf("%v, %v", again, err)
	}
}

func TestInvitesDoNotPrintTheirSecret(t *testing.T) {
	i := NewInvite(hypercrypto.Key{1})
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		s := fmt.Sprintf(format, i)
		if strings.Contains(s, hex.EncodeToString(i.Seed[:8])) || strings.Contains(s, i.Text()) || strings.Contains(s, fmt.Sprint(i.Seed[0], i.Seed[1])) {
			t.Errorf("%s shows %s", format, s)
		}
	}
}

func TestAnswersForAnotherLogAreRefused(t *testing.T) {
	i := NewInvite(hypercrypto.Key{1})
	c, err := NewCandidate(i, []byte("me"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Request.Open(i.KeyPair().Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(o.Accept(&Answer{Key: hypercrypto.Key{2}}).Message); !errors.Is(err, ErrAnswer) {
		t.Errorf("another log: %v", err)
	}
	other := NewInvite(hypercrypto.Key{1})
	if _, err := c.Receive(o.Accept(&Answer{Key: hypercrypto.Key{1}, Additional: other.SignData([]byte("x"))}).Message); !errors.Is(err, ErrAnswer) {
		t.Errorf("data of another invite: %v", err)
	}
	if _, err := c.Request.Open(other.KeyPair().Public); !errors.Is(err, ErrRequest) {
		t.Errorf("opened with another invite: %v", err)
	}
	second, err := NewCandidate(i, []byte("somebody else"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Receive(o.Accept(&Answer{Key: hypercrypto.Key{1}}).Message); !errors.Is(err, ErrAnswer) {
		t.Errorf("an answer to another request: %v", err)
	}
}

// No bit of a request or an answer can be changed.
func TestChangedMessagesAreRefused(t *testing.T) {
	i := NewInvite(hypercrypto.Key{1})
	c, err := NewCandidate(i, []byte("me"))
	if err != nil {
		t.Fatal(err)
	}
	public := i.KeyPair().Public
	request := c.Request.AppendTo(nil)
	o, err := c.Request.Open(public)
	if err != nil {
		t.Fatal(err)
	}
	answer := o.Accept(&Answer{Key: hypercrypto.Key{1}, EncryptionKey: &[32]byte{3}, Additional: i.SignData([]byte("x"))}).Message
	for bit := range len(request) * 8 {
		bad := slices.Clone(request)
		bad[bit/8] ^= 1 << (bit % 8)
		if q, err := DecodeRequest(bad); err == nil {
			if _, err := q.Open(public); !errors.Is(err, ErrRequest) {
				t.Errorf("bit %d of the request may change: %v", bit, err)
			}
		}
	}
	for bit := range len(answer) * 8 {
		bad := slices.Clone(answer)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := c.Receive(bad); !errors.Is(err, ErrAnswer) {
			t.Errorf("bit %d of the answer may change: %v", bit, err)
		}
	}
}

func TestInvitesSurviveWriting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := NewInvite(hypercrypto.Key{byte(rapid.Int().Draw(t, "key"))})
		i.Sensitive, i.Test = rapid.Bool().Draw(t, "sensitive"), rapid.Bool().Draw(t, "test")
		if s := rapid.Uint32().Draw(t, "expires"); s > 0 {
			i.Expires = time.Unix(int64(s), 0)
		}
		again, err := ParseInvite(" " + strings.ToUpper(i.Text()) + "\n")
		if err != nil || again.Text() != i.Text() || !again.Expires.Equal(i.Expires) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}

func TestUserDataIsLimited(t *testing.T) {
	if _, err := NewCandidate(NewInvite(hypercrypto.Key{}), make([]byte, MaxUserData+1)); err == nil {
		t.Error("accepted")
	}
	c, err := NewCandidate(NewInvite(hypercrypto.Key{}), make([]byte, MaxUserData))
	if err != nil || len(c.Request.AppendTo(nil)) > 900 {
		t.Errorf("%v", err)
	}
}

func FuzzMessages(f *testing.F) {
	public := hypercrypto.PublicKey(unhex(f, cases(f)[0].InvitePublicKey))
	for _, v := range cases(f) {
		f.Add(unhex(f, v.Invite))
		f.Add(unhex(f, v.Request))
		f.Add(unhex(f, v.Response))
		f.Add(unhex(f, v.Receipt))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := DecodeInvite(b); err == nil {
			if again, err := DecodeInvite(i.AppendTo(nil)); err != nil || again.Text() != i.Text() {
				t.Fatalf("invite: %v", err)
			}
		}
		if q, err := DecodeRequest(b); err == nil {
			q.Open(public)
			if again, err := DecodeRequest(q.AppendTo(nil)); err != nil || again.ID() != q.ID() {
				t.Fatalf("request: %v", err)
			}
		}
		if r, err := DecodeReceipt(b); err == nil {
			if again, err := DecodeReceipt(r.AppendTo(nil)); err != nil || !bytes.Equal(again.UserData, r.UserData) {
				t.Fatalf("receipt: %v", err)
			}
		}
		if a, err := decodeAnswer(b); err == nil && a == nil {
			t.Fatal("no answer")
		}
		AnswerID(b)
	})
}
