package identitykey

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// vectors is what keet-identity-key 3.2.0 made of a fixed phrase at a fixed
// time, from the file multi-identity.json.
type vectors struct {
	Mnemonic                      string
	Seed                          string
	IdentityPublicKey             string
	IdentitySecretSeed            string
	ProfileDiscoveryPublicKey     string
	ProfileDiscoveryEncryptionKey string
	EncryptionKeyFor              struct{ ProfileKey, Key string }
	Devices                       []struct{ Seed, PublicKey string }
	Proofs                        []struct {
		Name, Proof, Receipt, ExpectedDevice string
		Data                                 *string
		Verify                               *struct{ Receipt, Identity, Device, Throws string }
	}
}

func load(t *testing.T) *vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/multi-identity.json")
	if err != nil {
		t.Fatal(err)
	}
	v := new(vectors)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeysFollowFromThePhrase(t *testing.T) {
	v := load(t)
	m, err := ParseMnemonic("  " + strings.ToUpper(v.Mnemonic) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	seed, k := m.Seed(), m.Keys()
	identity := k.Identity.Seed()
	encryption, discovery := k.EncryptionKey([32]byte(unhex(t, v.EncryptionKeyFor.ProfileKey))), k.ProfileDiscoveryEncryptionKey()
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"seed", seed[:], v.Seed},
		{"identity", k.Identity.Public[:], v.IdentityPublicKey},
		{"identity seed", identity[:], v.IdentitySecretSeed},
		{"profile discovery", k.ProfileDiscovery.Public[:], v.ProfileDiscoveryPublicKey},
		{"profile discovery encryption", discovery[:], v.ProfileDiscoveryEncryptionKey},
		{"encryption", encryption[:], v.EncryptionKeyFor.Key},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The phrases are from the test vectors of BIP39.
func TestPhraseOfEntropy(t *testing.T) {
	for entropy, want := range map[string]string{
		strings.Repeat("00", 16): strings.Repeat("abandon ", 11) + "about",
		strings.Repeat("7f", 16): "legal winner thank year wave sausage worth useful legal winner thank yellow",
		strings.Repeat("00", 32): strings.Repeat("abandon ", 23) + "art",
		strings.Repeat("ff", 32): strings.Repeat("zoo ", 23) + "vote",
		strings.Repeat("80", 24): "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter always",
	} {
		m := fromEntropy(unhex(t, entropy))
		if m.Reveal() != want {
			t.Errorf("%s: %s", entropy, m.Reveal())
		}
		if again, err := ParseMnemonic(want); err != nil || !slices.Equal(again.words, m.words) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestPhrasesStandForTheirEntropy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entropy := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "entropy")
		m, err := MnemonicOf(entropy)
		if n := len(entropy); n < 16 || n > 32 || n%4 != 0 {
			if !errors.Is(err, ErrMnemonic) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			return
		}
		if err != nil || !slices.Equal(m.Entropy(), entropy) {
			t.Fatalf("%x becomes %x: %v", entropy, m.Entropy(), err)
		}
	})
}

func TestWrongPhrases(t *testing.T) {
	good := NewMnemonic().Words()
	if len(good) != 24 {
		t.Fatalf("%d words", len(good))
	}
	typo := slices.Clone(good)
	typo[3] = "abandom"
	for want, words := range map[string][]string{
		"23 words":               good[1:],
		"0 words":                nil,
		`did you mean "abandon"`: typo,
	} {
		_, err := ParseMnemonic(strings.Join(words, " "))
		if !errors.Is(err, ErrMnemonic) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// One in 256 other orders has the same check.
	if _, err := ParseMnemonic("zoo " + strings.Repeat("abandon ", 11)); !errors.Is(err, ErrMnemonic) {
		t.Errorf("swapped: %v", err)
	}
}

func TestPhrasesDoNotPrintThemselves(t *testing.T) {
	m := NewMnemonic()
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		if s := fmt.Sprintf(format, m); strings.Contains(s, m.words[0]) {
			t.Errorf("%s shows the phrase", format)
		}
	}
}

func TestProofsOfTheOtherStack(t *testing.T) {
	for _, c := range load(t).Proofs {
		t.Run(c.Name, func(t *testing.T) {
			var e Expectation
			if c.ExpectedDevice != "" {
				k := hypercrypto.PublicKey(unhex(t, c.ExpectedDevice))
				e.Device = &k
			}
			if c.Receipt != "" {
				for i, b := range unhex(t, c.Receipt) {
					e.Since |= uint64(b) << (8 * i)
				}
			}
			p, err := DecodeProof(unhex(t, c.Proof))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(p.AppendTo(nil)); got != c.Proof {
				t.Errorf("encoded again: %s", got)
			}
			if c.Data == nil {
				err = p.VerifyDevice(e)
			} else {
				err = p.VerifyData(unhex(t, *c.Data), e)
			}
			if c.Verify == nil || c.Verify.Throws != "" {
				if !errors.Is(err, ErrProof) {
					t.Errorf("accepted: %v", err)
				}
				return
			}
			device := p.Device()
			if err != nil || hex.EncodeToString(p.Identity[:]) != c.Verify.Identity || hex.EncodeToString(device[:]) != c.Verify.Device {
				t.Errorf("%v, %v, %v", err, p.Identity, device)
			}
		})
	}
}

func TestTheSameProofsAreMade(t *testing.T) {
	v := load(t)
	at := time.UnixMilli(1767225600123)
	m, err := ParseMnemonic(v.Mnemonic)
	if err != nil {
		t.Fatal(err)
	}
	identity := m.Keys().Identity
	var d []*hypercrypto.KeyPair
	for _, x := range v.Devices {
		d = append(d, hypercrypto.KeyPairFromSeed([32]byte(unhex(t, x.Seed))))
	}
	p1 := Bootstrap(identity, d[0].Public, at)
	p2, err := AttestDevice(p1, d[0], d[1].Public)
	if err != nil {
		t.Fatal(err)
	}
	p3, err := AttestDevice(p2, d[1], d[2].Public)
	if err != nil {
		t.Fatal(err)
	}
	pd, err := AttestData(p2, d[1], []byte("some data"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []*Proof{p1, p2, p3, pd, AttestDataAsIdentity(identity, []byte("some data"), at)} {
		if got := hex.EncodeToString(p.AppendTo(nil)); got != v.Proofs[i].Proof {
			t.Errorf("%s: %s", v.Proofs[i].Name, got)
		}
	}
}

func TestOnlyTheDeviceOfAProofExtendsIt(t *testing.T) {
	identity, a, b := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	p := Bootstrap(identity, a.Public, time.Now())
	if _, err := AttestDevice(p, identity, b.Public); !errors.Is(err, ErrProof) {
		t.Error(err)
	}
	if _, err := AttestData(p, b, nil); !errors.Is(err, ErrProof) {
		t.Error(err)
	}
	for i := range MaxChain - 1 {
		next, err := AttestDevice(p, a, a.Public)
		if err != nil {
			t.Fatalf("device %d: %v", i, err)
		}
		p = next
	}
	if _, err := AttestDevice(p, a, b.Public); !errors.Is(err, ErrProof) {
		t.Errorf("a longer chain: %v", err)
	}
	if again, err := DecodeProof(p.AppendTo(nil)); err != nil || again.VerifyDevice(Expectation{Identity: &identity.Public, Device: &a.Public}) != nil {
		t.Errorf("the longest chain: %v", err)
	}
}

func TestAProofWithoutSignatureProvesNothing(t *testing.T) {
	p := &Proof{Epoch: 1, Identity: hypercrypto.NewKeyPair().Public}
	if err := p.VerifyDevice(Expectation{}); !errors.Is(err, ErrProof) {
		t.Error(err)
	}
	if err := p.VerifyData(nil, Expectation{}); !errors.Is(err, ErrProof) {
		t.Error(err)
	}
}

// No bit of a proof can be changed.
func TestChangedProofsAreRefused(t *testing.T) {
	identity, a, b := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	data := []byte("data")
	p, err := AttestDevice(Bootstrap(identity, a.Public, time.Now()), a, b.Public)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = AttestData(p, b, data); err != nil {
		t.Fatal(err)
	}
	want := Expectation{Identity: &identity.Public, Device: &b.Public}
	good := p.AppendTo(nil)
	if p.VerifyData(data, want) != nil {
		t.Fatal("the proof is not good")
	}
	flags := len(good) - 65
	for bit := range len(good) * 8 {
		if bit/8 == flags && bit%8 > 0 {
			continue // flags of later versions
		}
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if q, err := DecodeProof(bad); err == nil && q.VerifyData(data, want) == nil {
			t.Errorf("bit %d of byte %d may change", bit%8, bit/8)
		}
	}
	for n := range good {
		if _, err := DecodeProof(good[:n]); !errors.Is(err, ErrProof) {
			t.Errorf("%d bytes of it: %v", n, err)
		}
	}
}

func TestPhrasesSurviveWriting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{16, 20, 24, 28, 32}).Draw(t, "size")
		m := fromEntropy(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "entropy"))
		again, err := ParseMnemonic(m.Reveal())
		if err != nil || again.Reveal() != m.Reveal() {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzDecodeProof(f *testing.F) {
	identity, a := hypercrypto.KeyPairFromSeed([32]byte{1}), hypercrypto.KeyPairFromSeed([32]byte{2})
	p := Bootstrap(identity, a.Public, time.Unix(1e9, 0))
	f.Add(p.AppendTo(nil))
	d, _ := AttestData(p, a, nil)
	f.Add(d.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeProof(b)
		if err != nil {
			return
		}
		again, err := DecodeProof(p.AppendTo(nil))
		if err != nil || string(again.AppendTo(nil)) != string(p.AppendTo(nil)) {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzParseMnemonic(f *testing.F) {
	f.Add(fromEntropy(make([]byte, 16)).Reveal())
	f.Add(strings.ToUpper(fromEntropy(bytes.Repeat([]byte{0xa5}, 32)).Reveal()))
	f.Add("  zoo zoo\tzoo zoo zoo zoo zoo zoo zoo zoo zoo wrong\n")
	f.Add(strings.Repeat("zoo ", 11) + "\xff\xffzoo")
	f.Add("word")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMnemonic(text)
		if err != nil {
			if !errors.Is(err, ErrMnemonic) {
				t.Fatal(err)
			}
			// Of a phrase that is right but for one word, no other word is told.
			words := strings.Fields(text)
			if len(words) == 12 && len(words[0]) > 10 && len(words[1]) > 10 && words[0] != words[1] &&
				strings.Contains(err.Error(), words[0]) && strings.Contains(err.Error(), words[1]) {
				t.Fatalf("%v tells two words", err)
			}
			return
		}
		again, err := ParseMnemonic(m.Reveal())
		if err != nil || again.Reveal() != m.Reveal() || again.Seed() != m.Seed() {
			t.Fatalf("%q becomes %q, %v", m.Reveal(), again.Reveal(), err)
		}
	})
}
