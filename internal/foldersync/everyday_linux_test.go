package foldersync

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What programs and people do all day with a folder, while another one is kept equal: each ends
// with both equal, nothing too much, and nothing to do.
func TestEverydayChanges(t *testing.T) {
	write := func(name, text string) { must(t, os.WriteFile(name, []byte(text), 0o644)) }
	rename := func(from, to string) { must(t, os.Rename(from, to)) }
	mkdir := func(name string) { must(t, os.MkdirAll(name, 0o755)) }
	for _, story := range []struct {
		name   string
		begin  func(dir string)
		change func(dir string)
	}{
		{"vim saves", func(d string) { write(d+"/f", "1") }, func(d string) {
			for i := range 5 {
				rename(d+"/f", d+"/f~")
				write(d+"/f", fmt.Sprint("text ", i))
				must(t, os.Remove(d+"/f~"))
				time.Sleep(20 * time.Millisecond)
			}
		}},
		{"an editor keeps backups", func(d string) { write(d+"/f", "1") }, func(d string) {
			for i := range 4 {
				rename(d+"/f", d+"/f.bak")
				write(d+"/f", fmt.Sprint("text ", i))
				time.Sleep(70 * time.Millisecond)
			}
		}},
		{"an office saves", func(d string) { write(d+"/f.docx", "1") }, func(d string) {
			for i := range 3 {
				write(d+"/~$f.docx", "lock")
				write(d+"/1A2B.tmp", fmt.Sprint("text ", i))
				rename(d+"/f.docx", d+"/3C4D.tmp")
				rename(d+"/1A2B.tmp", d+"/f.docx")
				time.Sleep(60 * time.Millisecond)
				must(t, os.Remove(d+"/3C4D.tmp"), os.Remove(d+"/~$f.docx"))
			}
		}},
		{"sed -i", func(d string) { write(d+"/f", "1"); write(d+"/g", "2") }, func(d string) {
			for _, n := range []string{"f", "g"} {
				write(d+"/sedXk3d", n+" changed")
				rename(d+"/sedXk3d", d+"/"+n)
			}
		}},
		{"removed and made again", func(d string) { mkdir(d + "/in/deep"); write(d+"/in/deep/f", "1"); write(d+"/in/g", "2") }, func(d string) {
			for i := range 5 {
				must(t, os.RemoveAll(d+"/in"))
				mkdir(d + "/in/deep")
				write(d+"/in/deep/f", fmt.Sprint("new ", i))
				write(d+"/in/h", "3")
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
			}
		}},
		{"out and back", func(d string) { mkdir(d + "/in/deep"); write(d+"/in/deep/f", "1") }, func(d string) {
			away := filepath.Join(t.TempDir(), "away")
			for i := range 4 {
				rename(d+"/in", away)
				time.Sleep(time.Duration(i) * 40 * time.Millisecond)
				write(away+"/deep/f", fmt.Sprint("changed ", i))
				rename(away, d+"/in")
				time.Sleep(time.Duration(i) * 40 * time.Millisecond)
			}
			write(d+"/in/deep/g", "still watched")
		}},
		{"other case", func(d string) { write(d+"/README", "1"); mkdir(d + "/Dir"); write(d+"/Dir/f", "2") }, func(d string) {
			rename(d+"/README", d+"/Readme")
			rename(d+"/Dir", d+"/dir")
			time.Sleep(100 * time.Millisecond)
			write(d+"/dir/f", "3")
		}},
		{"a file becomes a folder and back", func(d string) { write(d+"/x", "1"); mkdir(d + "/y"); write(d+"/y/f", "2") }, func(d string) {
			must(t, os.Remove(d+"/x"))
			mkdir(d + "/x")
			write(d+"/x/f", "in")
			must(t, os.RemoveAll(d+"/y"))
			write(d+"/y", "file")
			time.Sleep(200 * time.Millisecond)
			rename(d+"/x/f", d+"/f")
			must(t, os.Remove(d+"/x"))
			rename(d+"/f", d+"/x")
		}},
		{"a file moves into a folder of its name", func(d string) { write(d+"/x", "1") }, func(d string) {
			rename(d+"/x", d+"/t")
			mkdir(d + "/x")
			rename(d+"/t", d+"/x/x")
		}},
		{"folders change places", func(d string) {
			for _, n := range []string{"a", "b", "c"} {
				mkdir(d + "/" + n + "/in")
				write(d+"/"+n+"/f", n)
				write(d+"/"+n+"/in/"+n, n+n)
			}
		}, func(d string) {
			rename(d+"/a", d+"/t")
			rename(d+"/b", d+"/a")
			rename(d+"/t", d+"/b")
			time.Sleep(200 * time.Millisecond)
			rename(d+"/c", d+"/a/c")
			time.Sleep(10 * time.Millisecond)
			rename(d+"/a/c/in", d+"/a/c/f.d")
			rename(d+"/a/c", d+"/c")
			write(d+"/c/f.d/last", "watched")
		}},
		{"a child becomes the parent", func(d string) { mkdir(d + "/a/b"); write(d+"/a/f", "1"); write(d+"/a/b/g", "2") }, func(d string) {
			rename(d+"/a/b", d+"/b")
			rename(d+"/a", d+"/b/a")
		}},
		{"an archive is unpacked", func(d string) {}, func(d string) {
			old := time.Unix(1_400_000_000, 0)
			for i := range 300 {
				dir := fmt.Sprintf("%s/p%d/q%d", d, i%3, i%20)
				mkdir(dir)
				name := fmt.Sprintf("%s/f%d", dir, i)
				write(name, fmt.Sprint("packed ", i))
				must(t, os.Chmod(name, 0o640), os.Chtimes(name, old, old))
			}
		}},
		{"another branch is checked out", func(d string) {
			for i := range 200 {
				mkdir(fmt.Sprintf("%s/s%d", d, i%10))
				write(fmt.Sprintf("%s/s%d/f%d", d, i%10, i), fmt.Sprint("main ", i))
			}
		}, func(d string) {
			for branch := range 3 {
				for i := range 200 {
					name := fmt.Sprintf("%s/s%d/f%d", d, i%10, i)
					switch (i + branch) % 3 {
					case 0:
						must(t, os.RemoveAll(name))
						_ = os.Remove(filepath.Dir(name)) // if it is empty
					case 1:
						_ = os.Remove(name)
						mkdir(filepath.Dir(name))
						write(name, fmt.Sprint("branch ", branch, i))
					}
				}
			}
		}},
		{"packages are installed", func(d string) {}, func(d string) {
			for i := range 60 {
				stage := fmt.Sprintf("%s/node_modules/.staging/p-%d", d, i)
				mkdir(stage + "/lib")
				write(stage+"/package.json", fmt.Sprint(i))
				write(stage+"/lib/index.js", fmt.Sprint("code ", i))
				rename(stage, fmt.Sprintf("%s/node_modules/p%d", d, i))
				mkdir(d + "/node_modules/.bin")
				must(t, os.Symlink(fmt.Sprintf("../p%d/lib/index.js", i), fmt.Sprintf("%s/node_modules/.bin/p%d", d, i)))
			}
			must(t, os.RemoveAll(d+"/node_modules/.staging"))
		}},
		{"rsync writes", func(d string) { write(d+"/f", "1"); write(d+"/gone", "2") }, func(d string) {
			old := time.Unix(1_500_000_000, 0)
			for i := range 50 {
				n := fmt.Sprint("f", i)
				write(d+"/."+n+".Xa81Lq", "content "+n)
				must(t, os.Chtimes(d+"/."+n+".Xa81Lq", old, old), os.Chmod(d+"/."+n+".Xa81Lq", 0o600))
				rename(d+"/."+n+".Xa81Lq", d+"/"+n)
			}
			must(t, os.Remove(d+"/gone"))
		}},
		{"modes and times", func(d string) { write(d+"/f", "1"); write(d+"/g", "123"); write(d+"/h", "1"); mkdir(d + "/in") }, func(d string) {
			now, old := time.Now().Add(time.Second), time.Unix(1_300_000_000, 5)
			must(t, os.Chmod(d+"/f", 0o755), os.Chmod(d+"/in", 0o750))
			write(d+"/older", "456")
			must(t, os.Chtimes(d+"/older", old, old))
			rename(d+"/older", d+"/g")
			must(t, os.Chtimes(d+"/h", now, now), os.Chmod(d+"/h", 0o400))
			write(d+"/in/new", "in a folder of another mode")
		}},
		{"far times", func(d string) {}, func(d string) {
			for i, when := range []int64{-1, -1_000_000_000, 1 << 33, 0} {
				name := fmt.Sprint(d, "/f", i)
				write(name, fmt.Sprint(i))
				must(t, os.Chtimes(name, time.Unix(when, 999), time.Unix(when, 999)))
			}
		}},
		{"links", func(d string) {
			write(d+"/f", "1")
			must(t, os.Symlink("f", d+"/l"), os.Symlink("nowhere", d+"/dangling"))
		}, func(d string) {
			must(t, os.Symlink("/etc/hostname", d+"/t"))
			rename(d+"/t", d+"/l")
			must(t, os.Remove(d+"/dangling"))
			write(d+"/dangling", "a file")
			must(t, os.Remove(d+"/f"), os.Symlink("\xff\xfe", d+"/f"), os.Symlink(d, d+"/round"))
		}},
		{"hard links", func(d string) { write(d+"/f", "1") }, func(d string) {
			must(t, os.Link(d+"/f", d+"/g"), os.Link(d+"/f", d+"/h"))
			time.Sleep(100 * time.Millisecond)
			must(t, os.Remove(d+"/f"))
			rename(d+"/h", d+"/i")
		}},
		{"odd names", func(d string) {}, func(d string) {
			write(d+"/line\nbreak", "1")
			write(d+"/"+strings.Repeat("ä", 127), "2")
			write(d+"/ spaces ", "3")
			write(d+"/a\\b:c*?\"<>|", "4")
			deep := d + strings.Repeat("/"+strings.Repeat("d", 100), 20)
			mkdir(deep)
			write(deep+"/f", "5")
			rename(d+"/"+strings.Repeat("d", 100), d+"/short")
		}},
		{"a sparse file and one that grows", func(d string) {}, func(d string) {
			f, err := os.Create(d + "/sparse")
			must(t, err, f.Truncate(9<<20))
			_, err = f.WriteAt([]byte("end"), 9<<20)
			must(t, err, f.Close())
			f, err = os.Create(d + "/log")
			must(t, err)
			for range 100 {
				_, err := f.Write(bytes.Repeat([]byte("line\n"), 1000))
				must(t, err)
				time.Sleep(time.Millisecond)
			}
			must(t, f.Close())
		}},
		{"special files come and go", func(d string) { write(d+"/f", "1") }, func(d string) {
			must(t, syscall.Mkfifo(d+"/p", 0o644), os.Remove(d+"/f"), syscall.Mkfifo(d+"/f", 0o644))
			time.Sleep(100 * time.Millisecond)
			must(t, os.Remove(d+"/f"), os.Remove(d+"/p"))
			write(d+"/f", "a file again")
			write(d+"/p", "a file now")
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			tree := newMemTree()
			a, b := newBox(t, tree, nil), newBox(t, tree, nil)
			a.Folder.step, b.Folder.step = settleFine, settleFine
			live(t, a, b)
			mkdir(a.path("d"))
			story.begin(a.path("d"))
			same := func(what string) {
				began := time.Now()
				eventually(t, what, func() bool {
					commits, want := tree.committed(), a.all()
					time.Sleep(150 * time.Millisecond)
					if time.Since(began) > 30*time.Second {
						wantEqual(t, "b and a", b.all(), want)
						wantEqual(t, "tree and a", tree.texts(), a.texts())
						t.Fatalf("%+v\n%+v", a.Status(), b.Status())
					}
					return maps.Equal(b.all(), want) && maps.Equal(tree.texts(), a.texts()) && tree.committed() == commits &&
						a.Status().State == StateIdle && b.Status().State == StateIdle
				})
			}
			same("the beginning")
			story.change(a.path("d"))
			want := a.all()
			same("the change")
			wantEqual(t, "a, and as it was left", a.all(), want)
			for _, f := range []*box{a, b} {
				if p := f.Status().Problems; len(p) > 0 {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

// all is texts with modes and times.
func (b *box) all() map[string]string {
	list := b.texts()
	for name := range list {
		info, err := os.Lstat(b.path(name))
		if err != nil {
			continue // it is live
		}
		text := fmt.Sprintf("%v", info.Mode())
		if info.Mode()&fs.ModeSymlink != 0 {
			text = ""
		}
		if !info.IsDir() {
			text += fmt.Sprint(" ", info.ModTime().UnixNano())
		}
		list[name] = text + " " + list[name]
	}
	return list
}
