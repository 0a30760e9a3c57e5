package hyperdrive

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"pgregory.net/rapid"
)

// model is what a drive should be: contents by path, links as "-> target".
type model map[string]string

func (m model) below(path string) (list []string) {
	for p := range m {
		if within(p, path) {
			list = append(list, p)
		}
	}
	return list
}

func stateOf(t *rapid.T, test *testing.T, v *View) model {
	m := model{}
	for e, err := range v.List(test.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.IsLink() {
			m[e.Path] = "-> " + e.Linkname
			continue
		}
		data, err := v.Content(test.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		m[e.Path] = string(data)
	}
	return m
}

func TestDriveBehavesLikeAMap(t *testing.T) {
	store := newStore(t, &corestore.Options{Relaxed: true})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		ns := store.Namespace(strings.Repeat("x", run))
		d, err := Open(t.Context(), ns, &Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Close()
		ctx := t.Context()
		path := rapid.SampledFrom([]string{"/a", "/a/b", "/a/c", "/a0", "/d/e/f", "/d/e/g", "/h"})
		now := model{}
		versions := map[uint64]model{1: {}}
		check := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
			versions[d.Version()] = maps.Clone(now)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				p, data := path.Draw(rt, "path"), rapid.StringN(0, 20, -1).Draw(rt, "data")
				now[p] = data
				check(d.Put(ctx, p, []byte(data), nil))
			},
			"link": func(rt *rapid.T) {
				p := path.Draw(rt, "path")
				now[p] = "-> target"
				check(d.Symlink(ctx, p, "target", nil))
			},
			"del": func(rt *rapid.T) {
				p := path.Draw(rt, "path")
				delete(now, p)
				check(d.Del(ctx, p))
			},
			"delAll": func(rt *rapid.T) {
				p := path.Draw(rt, "path")
				for _, q := range now.below(p) {
					delete(now, q)
				}
				_, err := d.DelAll(ctx, p)
				check(err)
			},
			"rename": func(rt *rapid.T) {
				from, to := path.Draw(rt, "from"), path.Draw(rt, "to")
				moved := model{}
				for _, q := range now.below(from) {
					moved[to+q[len(from):]] = now[q]
				}
				if len(moved) == 0 {
					rt.Skip("nothing to rename")
				}
				if from != to {
					for _, q := range now.below(from) {
						delete(now, q)
					}
				}
				maps.Copy(now, moved)
				check(d.Rename(ctx, from, to))
			},
			"batch": func(rt *rapid.T) {
				b := d.Batch()
				for range rapid.IntRange(1, 6).Draw(rt, "n") {
					p := path.Draw(rt, "path")
					if rapid.Bool().Draw(rt, "delete") {
						delete(now, p)
						check(b.Del(p))
						continue
					}
					data := rapid.StringN(0, 20, -1).Draw(rt, "data")
					now[p] = data
					if err := b.Put(ctx, p, []byte(data), nil); err != nil {
						rt.Fatal(err)
					}
				}
				delete(versions, d.Version()) // recorded too early by check
				versions[d.Version()] = stateOf(rt, t, d.View)
				check(b.Flush(ctx))
			},
			"restore": func(rt *rapid.T) {
				v := rapid.SampledFrom(slices.Sorted(maps.Keys(versions))).Draw(rt, "version")
				old, err := d.Checkout(v)
				if err != nil {
					rt.Fatal(err)
				}
				_, err = d.Restore(ctx, old, "")
				now = maps.Clone(versions[v])
				check(err)
				if err := old.Close(); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				if got := stateOf(rt, t, d.View); !maps.Equal(got, now) {
					rt.Fatalf("drive is %q, want %q", got, now)
				}
			},
		})
		for v, want := range versions {
			old, err := d.Checkout(v)
			if err != nil {
				rt.Fatal(err)
			}
			if got := stateOf(rt, t, old); !maps.Equal(got, want) {
				rt.Fatalf("version %d is %q, want %q", v, got, want)
			}
			if err := old.Close(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}
