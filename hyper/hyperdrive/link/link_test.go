package link

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"pgregory.net/rapid"
)

type driveVector struct {
	Key          string
	Length, Fork *uint64
	Hash         *string
	Alias        *string
}

type linkVectors struct {
	Key, ID   string
	Parse     map[string]json.RawMessage
	Serialize [][2]json.RawMessage
	Normalize [][2]string
}

func load(t testing.TB) (v linkVectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/struct-links.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Parse) == 0 || len(v.Serialize) == 0 || len(v.Normalize) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

func key(t testing.TB, digits string) (k hypercrypto.Key) {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 32 {
		t.Fatalf("%q: %v", digits, err)
	}
	return hypercrypto.Key(raw)
}

func TestParseVectors(t *testing.T) {
	v := load(t)
	for text, raw := range v.Parse {
		t.Run(text, func(t *testing.T) {
			l, err := Parse(text)
			var failure string
			if json.Unmarshal(raw, &failure) == nil {
				if strings.HasPrefix(text, "hyper://") {
					// The pear tools know their own scheme only.
					if err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, ErrLink) {
					t.Errorf("%v, %v instead of %s", l, err, failure)
				}
				return
			}
			var want struct {
				Protocol, Pathname, Search, Hash, Origin string
				Drive                                    driveVector
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if l.Scheme+":" != want.Protocol || l.Path != want.Pathname || "?"+l.Query != "?"+strings.TrimPrefix(want.Search, "?") ||
				l.Fragment != strings.TrimPrefix(want.Hash, "#") {
				t.Errorf("%+v, want %+v", l, want)
			}
			// This package writes keys in one form only.
			if origin := strings.Replace(want.Origin, v.Key, v.ID, 1); l.Origin() != origin {
				t.Errorf("origin %s, want %s", l.Origin(), origin)
			}
			checkDrive(t, l, want.Drive)
		})
	}
}

func checkDrive(t *testing.T, l *Link, want driveVector) {
	t.Helper()
	drive := driveVector{Length: l.Length, Fork: l.Fork}
	if !l.Key.IsZero() {
		drive.Key = l.Key.Hex()
	}
	if l.DriveHash != nil {
		drive.Hash = new(l.DriveHash.String())
	}
	if l.Alias != "" {
		drive.Alias = &l.Alias
	}
	if !reflect.DeepEqual(drive, want) {
		t.Errorf("drive %+v, want %+v", drive, want)
	}
}

func TestFormatVectors(t *testing.T) {
	for _, c := range load(t).Serialize {
		var want, text string
		if err := json.Unmarshal(c[1], &want); err != nil {
			t.Fatal(err)
		}
		l := &Link{Scheme: Pear}
		if json.Unmarshal(c[0], &text) == nil {
			k, err := hypercrypto.ParseKey(text)
			if err != nil {
				t.Fatal(err)
			}
			l.Key = k
		} else {
			var in struct {
				Drive    driveVector
				Pathname string
			}
			if err := json.Unmarshal(c[0], &in); err != nil {
				t.Fatal(err)
			}
			l.Key, l.Length, l.Fork, l.Path = key(t, in.Drive.Key), in.Drive.Length, in.Drive.Fork, in.Pathname
			if in.Drive.Hash != nil {
				l.DriveHash = new(hypercrypto.Hash(key(t, *in.Drive.Hash)))
			}
		}
		if got := l.String(); got != want {
			t.Errorf("%s: %s, want %s", c[0], got, want)
		}
	}
}

func TestNormalizeVectors(t *testing.T) {
	for _, c := range load(t).Normalize {
		if got := Normalize(c[0]); got != c[1] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}

const (
	id     = "7ir1ttte48bcp4zjychjyscicrwi1j34mtt91ptsafdbjmr8g9eo"
	digits = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1"
	enc    = "yryonyebyryonyebyryonyebyryonyebyryonyebyryonyebyryo" // 32 bytes of 1
)

func TestHyperForms(t *testing.T) {
	k := key(t, digits)
	secret := &hypercrypto.EncryptionKey{}
	for i := range secret {
		secret[i] = 1
	}
	for text, want := range map[string]*Link{
		id:                                                  {},
		digits:                                              {},
		" hyper://" + id + "\n":                             {},
		"HYPER://" + id:                                     {},
		"hyper://" + digits + "/":                           {Path: "/"},
		"hyper://" + id + "+12/a":                           {Length: new(uint64(12)), Path: "/a"},
		"hyper://" + digits + "+0":                          {Length: new(uint64(0))},
		"hyper://2.10." + id + "/p":                         {Fork: new(uint64(2)), Length: new(uint64(10)), Path: "/p"},
		"hyper://" + id + "/$/version/7/a/b":                {Length: new(uint64(7)), Path: "/a/b"},
		"hyper://" + id + "/$/version/7":                    {Length: new(uint64(7))},
		"hyper://" + id + "/%24/version/7":                  {Path: "/$/version/7"},
		"hyper://" + id + "/a%20b/%C3%BC":                   {Path: "/a b/ü"},
		"hyper://" + id + "/a/./b/../c/":                    {Path: "/a/c/"},
		"hyper://" + id + "/a/b/..":                         {Path: "/a/"},
		"hyper://" + id + "/../..":                          {Path: "/"},
		"hyper://" + id + "?x=1#f#g":                        {Query: "x=1", Fragment: "f#g"},
		"hyper://" + id + "?encryption=" + enc:              {EncryptionKey: secret},
		"hyper://" + id + "/p?a&encryption=" + enc + "&b=2": {Path: "/p", EncryptionKey: secret, Query: "a&b=2"},
	} {
		want.Scheme, want.Key = Hyper, k
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
		if again, err := Parse(got.URL()); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%q became %q: %+v, %v", text, got.URL(), again, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                            "the key is missing",
		"hyper://":                                    "the key is missing",
		"hyper:" + id:                                 "is not followed by //",
		"http://" + id:                                `begins with "http:"`,
		id[:51]:                                       "51 characters instead of 52",
		"hyper://" + id + "y":                         "53 characters instead of 52",
		"hyper://v" + id[1:]:                          `character 'v' at position 1`,
		"hyper://" + id[:20] + "2" + id[21:]:          `character '2' at position 21`,
		"hyper://" + strings.ToUpper(id):              "position 2 ",
		digits[:40] + "x" + digits[41:]:               `character 'x' at position 41 is no hexadecimal digit`,
		"hyper://" + id + "+":                         `version "" is not a number`,
		"hyper://" + id + "+-1":                       `version "-1"`,
		"hyper://" + id + "+9007199254740992":         "is not a number up to 9007199254740991",
		"hyper://" + id + "+1/$/version/2/x":          "two versions",
		"hyper://0.1." + id + "/$/version/2":          "two versions",
		"hyper://" + id + "/$/version/x/y":            `version "x"`,
		"pear://" + id + "+1":                         "FORK.LENGTH.KEY",
		"pear://1.x." + id:                            `length "x"`,
		"pear://x.1." + id:                            `fork "x"`,
		"pear://1." + id:                              "has 2 parts",
		"pear://1.2." + id + "." + id[1:]:             "drive hash: ",
		"pear://1.2." + id + ".":                      "drive hash is missing",
		"hyper://" + id + "?encryption=":              "encryption key is missing",
		"hyper://" + id + "?encryption=" + enc[1:]:    "encryption key: ",
		"hyper://" + id + "?encryption=pear://" + enc: "slash in the encryption key",
		"hyper://" + id + "?encryption=" + enc + "&encryption=" + enc: "two encryption keys",
		"hyper://" + id + "/%zz": "path: ",
		"file://host/x":          "three slashes",
	} {
		l, err := Parse(text)
		if !errors.Is(err, ErrLink) || errors.Is(err, ErrName) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, l, err, want)
		}
	}
}

func TestNamesAreNotKeys(t *testing.T) {
	for _, text := range []string{"hyper://localhost/?key=x", "hyper://example.com/", "hyper://a.example.com", "hyper://a.b.c.d.e", "pear://nokey", "hyper://keet"} {
		if l, err := Parse(text); !errors.Is(err, ErrName) || !errors.Is(err, ErrLink) {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}

func TestStringHidesTheEncryptionKey(t *testing.T) {
	l := New(key(t, digits))
	l.EncryptionKey = &hypercrypto.EncryptionKey{1}
	if l.String() != "hyper://"+id {
		t.Errorf("%s", l)
	}
	if !strings.Contains(l.URL(), "?encryption=yr") {
		t.Errorf("%s", l.URL())
	}
}

func TestRoundTrip(t *testing.T) {
	number := rapid.Ptr(rapid.Uint64Range(0, maxVersion), true)
	rapid.Check(t, func(t *rapid.T) {
		l := &Link{Scheme: rapid.SampledFrom([]string{Hyper, Pear}).Draw(t, "scheme")}
		copy(l.Key[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		if l.Fork = number.Draw(t, "fork"); l.Fork != nil {
			l.Length = new(rapid.Uint64Range(0, maxVersion).Draw(t, "length"))
			if rapid.Bool().Draw(t, "hash") {
				l.DriveHash = &hypercrypto.Hash{1}
			}
		} else if l.Scheme == Hyper {
			l.Length = number.Draw(t, "length")
		}
		if rapid.Bool().Draw(t, "path") {
			l.Path = clean("/" + rapid.String().Draw(t, "name"))
		}
		l.Query = rapid.SampledFrom([]string{"", "a=b", "a&b=%20"}).Draw(t, "query")
		l.Fragment = rapid.SampledFrom([]string{"", "top", "a?b/#"}).Draw(t, "fragment")
		if rapid.Bool().Draw(t, "encrypted") {
			l.EncryptionKey = &hypercrypto.EncryptionKey{7}
		}
		got, err := Parse(l.URL())
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Fatalf("%s: %+v became %+v, %v", l.URL(), l, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for text := range load(f).Parse {
		f.Add(text)
	}
	f.Add("hyper://" + id + "+12/$/version/3/a?encryption=" + enc + "#f")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(l.URL())
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("%q became %q: %+v, %v", text, l.URL(), again, err)
		}
	})
}
