package foldersync

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

func drawRecord(rt *rapid.T, path string) record {
	r := record{path: path, kind: filetree.Kind(rapid.IntRange(1, 3).Draw(rt, "kind")), doubt: rapid.Bool().Draw(rt, "doubt"), unsure: rapid.Bool().Draw(rt, "unsure")}
	r.stat = stat{size: rapid.Uint64().Draw(rt, "size"), mtime: rapid.Int64().Draw(rt, "mtime"), ctime: rapid.Int64().Draw(rt, "ctime"),
		ino: rapid.Uint64().Draw(rt, "ino"), mode: fs.FileMode(rapid.Uint32().Draw(rt, "mode")) & fs.ModePerm}
	r.local = rapid.SampledFrom([]string{"", "x", "a:b"}).Draw(rt, "local")
	if rapid.Bool().Draw(rt, "hash") {
		r.hash, r.version = hypercrypto.Sum([]byte(path)), filetree.Version{1}
	}
	return r
}

// The index is a map that survives restarts.
func TestIndexIsAMap(t *testing.T) {
	paths := []string{"a", "a/b", "a/b/c", "a-b", "a.b/c", "b", "ba", "z/y"}
	for i := range 200 {
		paths = append(paths, fmt.Sprintf("dir/%03d", i))
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		x, err := openIndex(dir, "boot", func() error { return nil })
		must(t, err)
		defer func() { x.abandon() }()
		model := map[string]record{}
		notes := map[string]string{}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				var u update
				for range rapid.IntRange(1, 5).Draw(rt, "n") {
					r := drawRecord(rt, rapid.SampledFrom(paths).Draw(rt, "path"))
					u.put = append(u.put, r)
					model[r.path] = r
				}
				must(t, x.apply(u))
			},
			"delete": func(rt *rapid.T) {
				path := rapid.SampledFrom(paths).Draw(rt, "path")
				delete(model, path)
				must(t, x.apply(update{delete: []string{path}}))
			},
			"note": func(rt *rapid.T) {
				k, v := rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key"), rapid.SampledFrom([]string{"", "v", "w"}).Draw(rt, "value")
				notes[k] = v
				must(t, x.apply(update{notes: map[string][]byte{k: []byte(v)}}))
			},
			"merge": func(rt *rapid.T) {
				x.mu.Lock()
				defer x.mu.Unlock()
				must(t, x.mergeLocked())
			},
			"mark": func(rt *rapid.T) { must(t, x.mark()) },
			"restart": func(rt *rapid.T) {
				x.abandon()
				x, err = openIndex(dir, "boot", func() error { return nil })
				must(t, err)
			},
			"restart after a cut": func(rt *rapid.T) {
				x.abandon()
				f, err := os.OpenFile(x.journalName(x.gen), os.O_WRONLY|os.O_APPEND, 0)
				must(t, err)
				_, err = f.Write([]byte{9, 0, 0, 0, 1, 2, 3}[:rapid.IntRange(0, 7).Draw(rt, "cut")])
				must(t, err, f.Close())
				x, err = openIndex(dir, "boot", func() error { return nil })
				must(t, err)
			},
			"": func(rt *rapid.T) {
				if x.len() != len(model) {
					rt.Fatalf("%d records, want %d", x.len(), len(model))
				}
				for k, v := range notes {
					if got := string(x.note(k)); got != v {
						rt.Fatalf("note %q is %q, want %q", k, got, v)
					}
				}
				path := rapid.SampledFrom(paths).Draw(rt, "look")
				want, ok := model[path]
				if got, known, err := x.get(path); err != nil || known != ok || got != want {
					rt.Fatalf("%s: got %+v, %v, %v, want %+v", path, got, known, err, want)
				}
				prefix := rapid.SampledFrom([]string{"", "a", "dir", "a/b", "none", "a.b"}).Draw(rt, "prefix")
				var got []string
				for r, err := range x.records(prefix) {
					must(t, err)
					if r != model[r.path] {
						rt.Fatalf("got %+v, want %+v", r, model[r.path])
					}
					got = append(got, r.path)
				}
				list := slices.SortedFunc(maps.Keys(model), compare)
				list = slices.DeleteFunc(list, func(p string) bool { return !below(p, prefix) })
				if !slices.Equal(got, list) {
					rt.Fatalf("%q: got %q, want %q", prefix, got, list)
				}
			},
		})
	})
}

func TestOrderPutsFoldersBeforeWhatIsInThem(t *testing.T) {
	sorted := []string{"a", "a/b", "a/b/c", "a/c", "a b", "a-b", "a.b", "a.b/x", "aa", "b"}
	for i, x := range sorted {
		for j, y := range sorted {
			if got := compare(x, y); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("compare %q with %q: %d", x, y, got)
			}
		}
	}
}

func TestDamagedIndexIsMadeAnew(t *testing.T) {
	for _, where := range []string{"footer", "block", "journal"} {
		t.Run(where, func(t *testing.T) {
			tree := newMemTree()
			b := newBox(t, tree, nil)
			for i := range 500 {
				b.write(fmt.Sprintf("d%d/f%d", i%7, i), fmt.Sprint(i))
			}
			b.once()
			want := b.texts()
			b.idx.mu.Lock()
			must(t, b.idx.mergeLocked())
			b.idx.mu.Unlock()
			b.idx.abandon()
			name := b.idx.tableName(b.idx.gen)
			data, err := os.ReadFile(name)
			must(t, err)
			switch where {
			case "footer":
				data[len(data)-20] ^= 1
			case "block":
				data[len(data)/3] ^= 1
			case "journal":
				name = b.idx.journalName(b.idx.gen)
				data = appendJournal(nil, func(b []byte) []byte { return append(b, '?') })
			}
			must(t, os.WriteFile(name, data, 0o600))
			b.restart()
			b.once()
			wantEqual(t, "folder", b.texts(), want)
			wantEqual(t, "tree", tree.texts(), want)
			b.write("d0/f0", "edit")
			b.once()
			if tree.texts()["d0/f0"] != "edit" {
				t.Error("an edit is not in the tree")
			}
		})
	}
}

func FuzzBlock(f *testing.F) {
	name := filepath.Join(f.TempDir(), "table")
	records := []record{{path: "a", kind: kindDir}, {path: "a/b", kind: kindFile, hash: hypercrypto.Hash{1}, version: filetree.Version{2}, local: "c"}}
	i := 0
	must(f, writeTable(name, map[string][]byte{"k": []byte("v")}, func() (record, bool, error) {
		if i++; i > len(records) {
			return record{}, false, nil
		}
		return records[i-1], true, nil
	}))
	t, err := openTable(name)
	must(f, err)
	block := make([]byte, t.blocks[0].length)
	_, err = t.f.ReadAt(block, 0)
	must(f, err)
	f.Add(block[4:])
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli))
		list, err := decodeBlock(append(sum, body...))
		if err != nil {
			return
		}
		for _, r := range list {
			d := decoder{b: r.append(nil)}
			if got := d.record(r.path); d.err != nil || got != r {
				t.Errorf("%+v becomes %+v, %v", r, got, d.err)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{1, 1, 10, 1, 'a', 0})
	f.Fuzz(func(t *testing.T, footer []byte) {
		x := &table{}
		if err := x.decodeFooter(footer, 1000); err != nil {
			return
		}
		for _, b := range x.blocks {
			if b.offset < 0 || b.offset+int64(b.length) > 1000 {
				t.Errorf("block %+v", b)
			}
		}
	})
}

func FuzzJournal(f *testing.F) {
	r := record{path: "a/b", kind: kindFile}
	f.Add(appendJournal(nil, func(b []byte) []byte { return r.append(appendText(append(b, journalPut), r.path)) }))
	f.Add(appendJournal(nil, func(b []byte) []byte { return append(b, journalMark) }))
	f.Fuzz(func(t *testing.T, data []byte) {
		// With right checksums, so that more than those is tried.
		fixed := bytes.Clone(data)
		for at := 0; at+8 <= len(fixed); {
			n := int(binary.LittleEndian.Uint32(fixed[at:]))
			if n > len(fixed)-at-8 {
				break
			}
			binary.LittleEndian.PutUint32(fixed[at+4:], crc32.Checksum(fixed[at+8:at+8+n], castagnoli))
			at += 8 + n
		}
		for _, data := range [][]byte{data, fixed} {
			length, err := readJournal(bytes.NewReader(data), func(e journalEntry) {
				if e.op == journalPut && e.record.path == "" {
					t.Error("a record without a path")
				}
			})
			if length > int64(len(data)) || err != nil && !errors.Is(err, errJournal) {
				t.Errorf("%d, %v", length, err)
			}
		}
	})
}

func FuzzSubstitute(f *testing.F) {
	f.Add("CON.txt")
	f.Fuzz(func(t *testing.T, name string) {
		name = strings.ToValidUTF8(name, "")
		if len(name) > 255 || name == "" || strings.ContainsAny(name, "/\x00") {
			return
		}
		if s := substitute(name); len(s) > maxLocalName || s == "" || !(&traits{windows: true}).legal(s) {
			t.Errorf("%q becomes %q", name, s)
		}
	})
}
