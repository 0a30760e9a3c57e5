package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/tradle/cloudpal"

// rule limits what packages may import of this module and from outside. A name
// that ends in /... stands for everything below it.
type rule struct {
	packages []string
	own      []string // of this module; nil: anything but what no other rule gives away
	outside  []string // module paths beside the standard library
	why      string
}

var rules = []rule{
	{
		packages: []string{"hyper/compact", "hyper/internal/flattree", "hyper/internal/bitfield", "hyper/internal/rabin"},
		why:      "pure leaves: everybody stands on them, they stand on nothing",
	},
	{
		packages: []string{"hyper/internal/blake2lanes"},
		outside:  []string{"golang.org/x/sys"},
		why:      "one function in assembly, in a version for each processor, which it asks what it can do",
	},
	{
		packages: []string{"hyper/internal/salsa20lanes"},
		outside:  []string{"golang.org/x/sys", "golang.org/x/crypto"},
		why:      "one function in assembly, in a version for each processor, and what it replaces where none can run",
	},
	{
		packages: []string{"hyper/hypercrypto"},
		own:      []string{"hyper/compact", "hyper/internal/flattree", "hyper/internal/blake2lanes", "hyper/internal/salsa20lanes"},
		outside:  []string{"golang.org/x/crypto", "filippo.io/edwards25519"},
		why:      "the cryptographic vocabulary needs encodings and primitives only",
	},
	{
		packages: []string{"hyper/internal/merkle"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/internal/flattree"},
		why:      "tree arithmetic is pure: no storage, no network, no clock",
	},
	{
		packages: []string{"hyper/internal/wire"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/internal/merkle"},
		why:      "message codecs know messages and proofs only",
	},
	{
		packages: []string{"hyper/storage"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/internal/bitfield", "hyper/internal/merkle", "hyper/internal/flattree"},
		outside:  []string{"github.com/cockroachdb/pebble/v2", "golang.org/x/sys"},
		why:      "the database is seen here and nowhere else",
	},
	{
		packages: []string{"hyper/storage/baddisk"},
		outside:  []string{"github.com/cockroachdb/pebble/v2"},
		why:      "a bad disk is a file system of the database and knows nothing of what is on it",
	},
	{
		packages: []string{"hyper/protomux"},
		own:      []string{"hyper/compact", "hyper/hypercrypto"},
		why:      "the bridge between the data tower and the network tower belongs to neither",
	},
	{
		packages: []string{"hyper/internal/noise"},
		own:      []string{"hyper/hypercrypto"},
		outside:  []string{"github.com/flynn/noise", "filippo.io/edwards25519", "golang.org/x/crypto"},
		why:      "handshakes are shared by everything that connects",
	},
	{
		packages: []string{"hyper/secretstream"},
		own:      []string{"hyper/hypercrypto", "hyper/internal/noise", "hyper/protomux"},
		outside:  []string{"golang.org/x/crypto"},
		why:      "the network tower knows nothing of logs; of protomux only the buffer contract",
	},
	{
		packages: []string{"hyper/internal/udpio"},
		outside:  []string{"golang.org/x/net", "golang.org/x/sys"},
		why:      "sockets know nothing of what they carry",
	},
	{
		packages: []string{"hyper/internal/simnet"},
		own:      []string{"hyper/internal/udpio"},
		why:      "a simulated network is a socket to everybody else",
	},
	{
		packages: []string{"hyper/udx"},
		own:      []string{"hyper/compact", "hyper/internal/udpio"},
		why:      "streams over datagrams: no identity, no encryption, no logs",
	},
	{
		packages: []string{"hyper/lan"},
		own:      []string{"hyper/hypercrypto"},
		outside:  []string{"golang.org/x/net"},
		why:      "the local link gives addresses for opaque topics; what is behind them is for others",
	},
	{
		packages: []string{"hyper/cpace"},
		outside:  []string{"github.com/gtank/ristretto255"},
		why:      "a key exchange is arithmetic; who talks to whom is not its business",
	},
	{
		packages: []string{"hyper/cpace/spoken"},
		why:      "codes are text",
	},
	{
		packages: []string{"hyper/internal/dhtrpc"},
		own:      []string{"hyper/compact", "hyper/hypercrypto"},
		why:      "the Kademlia below HyperDHT is driven from outside and opens no sockets",
	},
	{
		packages: []string{"hyper/blindrelay"},
		own:      []string{"hyper/compact", "hyper/protomux", "hyper/udx"},
		why:      "a relay knows channels and streams, and nothing of how peers are found",
	},
	{
		packages: []string{"hyper/hyperdht"},
		own: []string{"hyper/compact", "hyper/hypercrypto", "hyper/secretstream", "hyper/udx", "hyper/blindrelay", "hyper/internal/dhtrpc",
			"hyper/internal/noise", "hyper/internal/udpio"},
		outside: []string{"golang.org/x/crypto"},
		why:     "finding peers and connecting to them knows nothing of what connections carry",
	},
	{
		packages: []string{"hyper/hyperswarm"},
		own:      []string{"hyper/hypercrypto", "hyper/secretstream", "hyper/hyperdht"},
		why:      "a swarm keeps connections; how they are made is the DHT's business, what they carry the handler's",
	},
	{
		packages: []string{"hyper/dhtrelay"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/hyperdht", "hyper/protomux"},
		outside:  []string{"github.com/coder/websocket"},
		why:      "a relay lends a DHT node; swarms and logs are its clients' business",
	},
	{
		packages: []string{"hyper/hypercore"},
		own: []string{"hyper/compact", "hyper/hypercrypto", "hyper/storage", "hyper/protomux", "hyper/internal/merkle", "hyper/internal/wire",
			"hyper/internal/bitfield", "hyper/internal/flattree"},
		why: "the log meets the network in protomux",
	},
	{
		packages: []string{"hyper/corestore", "hyper/hyperbee", "hyper/hyperblobs"},
		own: []string{"hyper/compact", "hyper/hypercrypto", "hyper/storage", "hyper/protomux", "hyper/hypercore", "hyper/hyperbee/...",
			"hyper/internal/rabin"},
		why: "structures on the log do not know each other",
	},
	{
		packages: []string{"hyper/hyperbee/keyenc"},
		own:      []string{"hyper/compact"},
		why:      "key encodings are pure",
	},
	{
		packages: []string{"hyper/hyperdrive", "hyper/hyperdrive/..."},
		own: []string{"hyper/compact", "hyper/hypercrypto", "hyper/storage", "hyper/protomux", "hyper/hypercore", "hyper/corestore",
			"hyper/hyperbee", "hyper/hyperbee/keyenc", "hyper/hyperblobs", "hyper/hyperdrive", "hyper/hyperdrive/...", "hyper/internal/rabin"},
		outside: []string{"golang.org/x/sys"},
		why:     "a drive is a bee for names and blobs for bytes",
	},
	{
		packages: []string{"hyper/internal/linearizer", "hyper/internal/oplog"},
		own:      []string{"hyper/compact", "hyper/hypercrypto"},
		why:      "the order of nodes and their encodings are pure: no storage, no network, no clock",
	},
	{
		packages: []string{"hyper/autobase"},
		own: []string{"hyper/compact", "hyper/hypercrypto", "hyper/storage", "hyper/protomux", "hyper/hypercore", "hyper/corestore",
			"hyper/hyperbee", "hyper/internal/linearizer", "hyper/internal/oplog"},
		why: "a base is logs and bees put in order; how peers meet is not its matter",
	},
	{
		packages: []string{"hyper/autobase/liar"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/internal/oplog"},
		why:      "a liar makes blocks and knows nothing of those who read them",
	},
	{
		packages: []string{"hyper/identitykey"},
		own:      []string{"hyper/compact", "hyper/hypercrypto"},
		outside:  []string{"golang.org/x/crypto"},
		why:      "proofs of identity stand alone: no storage, no network, no clock",
	},
	{
		packages: []string{"hyper/blindpairing"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/protomux"},
		outside:  []string{"golang.org/x/crypto"},
		why:      "the messages of an invite travel over anything; who connects peers and stores records is an interface",
	},
	{
		packages: []string{"hyper/blindpeer"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/protomux", "hyper/storage", "hyper/hypercore", "hyper/corestore"},
		why:      "a mirror keeps logs that it is asked for; how it is reached is not its matter",
	},
	{
		packages: []string{"internal/fault"},
		why:      "error kinds are the product's leaf",
	},
	{
		packages: []string{"internal/link"},
		own:      []string{"internal/fault", "hyper/hypercrypto"},
		why:      "a link is text; what its bytes mean is their owner's business",
	},
	{
		packages: []string{"internal/identity/shamir"},
		why:      "arithmetic",
	},
	{
		packages: []string{"internal/identity"},
		own:      []string{"internal/fault", "internal/link", "internal/identity/shamir", "hyper/compact", "hyper/hypercrypto", "hyper/identitykey"},
		outside:  []string{"golang.org/x/crypto", "github.com/zalando/go-keyring"},
		why:      "a person's keys stand alone: no node, no network, no logs",
	},
	{
		packages: []string{"internal/invite"},
		own:      []string{"internal/fault", "internal/link", "internal/handoff", "hyper/blindpairing", "hyper/hypercrypto", "hyper/hyperdht", "hyper/hyperswarm"},
		why:      "an invite is handed over and redeemed here; what it is for is its owner's business",
	},
	{
		packages: []string{"internal/folders"},
		own:      []string{"internal/fault", "internal/foldersync", "hyper/corestore", "hyper/hypercore", "hyper/hyperbee", "hyper/hypercrypto"},
		why:      "which folders are kept equal with which spaces; the trees come from the node",
	},
	{
		packages: []string{"internal/spacefs"},
		own:      []string{"internal/digest", "internal/fault", "internal/space", "internal/filetree", "internal/filetree/diff3", "internal/content", "internal/foldersync", "hyper/..."},
		why:      "the files of a space are put together here; folders, connections and commands are others' business",
	},
	{
		packages: []string{"internal/digest"},
		own:      []string{"hyper/hypercrypto"},
		outside:  []string{"golang.org/x/crypto"},
		why:      "one function, by which folders, contents and trees know the same bytes",
	},
	{
		packages: []string{"internal/content"},
		own:      []string{"internal/digest", "hyper/compact", "hyper/hypercrypto", "hyper/hypercore", "hyper/hyperblobs"},
		outside:  []string{"golang.org/x/crypto", "golang.org/x/sync"},
		why:      "contents are bytes in logs; what they are for, and whose logs they are, is others' business",
	},
	{
		packages: []string{"internal/base"},
		own:      []string{"internal/fault", "hyper/..."},
		why:      "a base is opened, written and shared; who is connected is the node's business",
	},
	{
		packages: []string{"internal/space"},
		own:      []string{"internal/space/clock", "internal/fault", "internal/link", "hyper/..."},
		why:      "a space is who may write what; what is written is for its collections, who is connected for the node",
	},
	{
		packages: []string{"internal/space/clock"},
		why:      "a clock is arithmetic over the machine's",
	},
	{
		packages: []string{"internal/foldersync"},
		own:      []string{"internal/digest", "internal/fault", "internal/filetree", "internal/files/ignore", "internal/fswatch", "hyper/hypercrypto"},
		outside:  []string{"github.com/fsnotify/fsnotify", "golang.org/x/sys", "golang.org/x/text"},
		why:      "a folder is kept equal to any tree; whose it is and how its contents travel is not its matter",
	},
	{
		packages: []string{"internal/fswatch"},
		outside:  []string{"github.com/fsnotify/fsnotify"},
		why:      "what the system tells of folders; what it means is for who keeps them",
	},
	{
		packages: []string{"internal/filetree"},
		own:      []string{"hyper/compact", "hyper/hypercrypto", "hyper/hyperbee"},
		why:      "what becomes of changes is a function of state and change: no space, no contents, no clock; of bees only what a range and an entry are",
	},
	{
		packages: []string{"internal/filetree/diff3"},
		why:      "merging texts is arithmetic",
	},
	{
		packages: []string{"internal/handoff"},
		own:      []string{"internal/fault", "hyper/cpace", "hyper/cpace/spoken", "hyper/hypercrypto", "hyper/secretstream"},
		outside:  []string{"golang.org/x/sys"},
		why:      "a handoff needs a connection and a code; how the two sides are connected is the node's business",
	},
	{
		packages: []string{"internal/cli"},
		own:      []string{"internal/api/client", "internal/api", "internal/fault", "internal/node", "internal/service", "internal/cli/..."},
		outside:  []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/vbauerster/mpb/v8", "golang.org/x/sys", "golang.org/x/term"},
		why:      "the command line can do what the API offers and nothing else, so that a web page can do the same",
	},
	{
		packages: []string{"internal/cli/qr"},
		outside:  []string{"rsc.io/qr"},
		why:      "a drawing of a text",
	},
	{
		packages: []string{"internal/door/..."},
		own:      []string{"internal/fault", "hyper/..."},
		outside:  []string{"golang.org/x/sys"},
		why:      "doors are peers: none knows another, and none knows the node",
	},
	{
		packages: []string{"internal/metrics"},
		outside:  []string{"github.com/prometheus/client_golang", "github.com/prometheus/common"},
		why:      "numbers are handed in; whose they are does not matter",
	},
	{
		packages: []string{"internal/logring"},
		own:      []string{"internal/fault"},
		why:      "a log is kept without knowing what it is about",
	},
	{
		packages: []string{"internal/service"},
		own:      []string{"internal/fault"},
		why:      "what service managers want to know has nothing to do with what a node is",
	},
	{
		packages: []string{"docs/api"},
		why:      "a description is data",
	},
	{
		packages: []string{"internal/api/openapi"},
		own:      []string{"internal/api", "internal/fault", "docs/api"},
		why:      "the description is made from the table of routes and the types; nothing that runs needs it",
	},
	{
		packages: []string{"cmd/..."},
		own:      []string{"internal/cli"},
		why:      "a main has no logic",
	},
}

type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func match(pattern, name string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, base+"/")
	}
	return pattern == name
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// fromModule tells whether an import path belongs to one of the modules.
func fromModule(modules []string, path string) bool {
	for _, m := range modules {
		if path == m || strings.HasPrefix(path, m+"/") {
			return true
		}
	}
	return false
}

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imp := range p.Imports {
			own, inside := strings.CutPrefix(imp, module+"/")
			outside := !inside && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".")
			if inside && strings.HasPrefix(name, "hyper/") && strings.HasPrefix(own, "internal/") {
				t.Errorf("%s imports %s: the library never imports the product", name, own)
			}
			if inside && own == "internal/node" && name != "internal/cli" {
				t.Errorf("%s imports internal/node: the composition root is for the command line only", name)
			}
			if fromModule([]string{"github.com/cockroachdb/pebble/v2"}, imp) && name != "hyper/storage" && name != "hyper/storage/baddisk" && !strings.HasPrefix(name, "bench") {
				t.Errorf("%s imports the database: only hyper/storage may", name)
			}
			if strings.HasPrefix(imp, "golang.org/x/net/dns/") && name != "hyper/lan" {
				t.Errorf("%s imports %s: DNS packets are made and read by hyper/lan only", name, imp)
			}
			if fromModule([]string{"golang.org/x/time"}, imp) && name != "internal/node" {
				t.Errorf("%s imports token buckets: limits of bandwidth are the node's", name)
			}
			if fromModule([]string{"github.com/coder/websocket"}, imp) && name != "hyper/dhtrelay" {
				t.Errorf("%s imports WebSockets: only hyper/dhtrelay may", name)
			}
			if fromModule([]string{"github.com/zalando/go-keyring"}, imp) && name != "internal/identity" {
				t.Errorf("%s imports the system's keyring: only internal/identity may", name)
			}
			for _, r := range rules {
				if !matchAny(r.packages, name) {
					continue
				}
				if inside && !matchAny(r.own, own) {
					t.Errorf("%s imports %s: %s", name, own, r.why)
				}
				if outside && !fromModule(r.outside, imp) {
					t.Errorf("%s imports %s: %s", name, imp, r.why)
				}
			}
		}
	}
}

// The towers meet in protomux: neither reaches into the other, directly or not.
func TestTowersDoNotMeet(t *testing.T) {
	data := []string{"hyper/storage", "hyper/hypercore", "hyper/corestore", "hyper/hyperbee", "hyper/hyperblobs", "hyper/hyperdrive"}
	network := []string{"hyper/secretstream", "hyper/internal/noise", "hyper/udx", "hyper/internal/udpio", "hyper/lan", "hyper/internal/dhtrpc", "hyper/hyperdht", "hyper/blindrelay", "hyper/hyperswarm", "hyper/dhtrelay"}
	graph := make(map[string][]string)
	for _, p := range list(t) {
		graph[p.ImportPath] = p.Imports
	}
	reaches := func(from string, to []string) string {
		seen := map[string]bool{}
		todo := []string{module + "/" + from}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			if seen[at] {
				continue
			}
			seen[at] = true
			for _, name := range to {
				if at == module+"/"+name {
					return name
				}
			}
			todo = append(todo, graph[at]...)
		}
		return ""
	}
	for _, d := range data {
		if n := reaches(d, network); n != "" {
			t.Errorf("%s reaches %s: the data tower does not know how peers connect", d, n)
		}
	}
	for _, n := range network {
		if d := reaches(n, data); d != "" {
			t.Errorf("%s reaches %s: the network tower does not know what it carries", n, d)
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		name := p.ImportPath[strings.LastIndex(p.ImportPath, "/")+1:]
		if !strings.HasPrefix(p.Doc, "Package "+name+" ") && !strings.HasPrefix(p.Doc, "Command ") {
			t.Errorf("%s: the package comment is %q, it has to start with what the package is", p.ImportPath, p.Doc)
		}
	}
}

// Files must not speak of the machine they were written on.
func TestNoMachinePaths(t *testing.T) {
	bad := regexp.MustCompile(`(^|[\s"'(=:])/(work|root|farm)/[a-z.]`)
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-z").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for _, f := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.Contains(f, "testdata/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join("../..", f))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(b, []byte("\n")) {
			if bad.Match(line) {
				t.Errorf("%s:%d names a path of some machine: %s", f, i+1, line)
			}
		}
	}
}
