package diff3

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, base, ours, theirs, want string }{
		{"nothing", "", "", "", ""},
		{"one side", "a\nb\n", "a\nb\nc\n", "a\nb\n", "a\nb\nc\n"},
		{"both ends", "a\nb\nc\n", "x\na\nb\nc\n", "a\nb\nc\ny\n", "x\na\nb\nc\ny\n"},
		{"the same edit", "a\nb\n", "a\nB\n", "a\nB\n", "a\nB\n"},
		{"the same line", "a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n", "-"},
		{"neighbours", "a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n", "-"},
		{"a line between", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"},
		{"delete and edit", "a\nb\nc\n", "a\nc\n", "a\nB\nc\n", "-"},
		{"delete and edit elsewhere", "a\nb\nc\nd\n", "a\nc\nd\n", "a\nb\nc\nD\n", "a\nc\nD\n"},
		{"no end of line", "a\nb\nc", "x\nb\nc", "a\nb\nc\nd", "x\nb\nc\nd"},
		{"line ends of another system", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nC\r\n"},
		{"from nothing", "", "a\n", "b\n", "-"},
		{"not text", "a\x00", "b\x00", "a\x00", "-"},
		{"not UTF-8", "a\xff", "b", "a\xff", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Merge([]byte(c.base), []byte(c.ours), []byte(c.theirs))
			if !ok {
				got = []byte("-")
			}
			if string(got) != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTextsThatDifferTooMuch(t *testing.T) {
	a := []byte(strings.Repeat("a\n", maxEdits+1))
	if _, ok := Merge(nil, a, []byte("b\n")); ok {
		t.Fatal("merged")
	}
	if m, ok := Merge(a, append(a, "b\n"...), append([]byte("c\n"), a...)); !ok || !bytes.HasPrefix(m, []byte("c\na\n")) {
		t.Fatal("a long text with small edits is not merged")
	}
}

func genText(t *rapid.T, label string) []byte {
	s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", ""}), 0, 30).Draw(t, label), "\n")
	if rapid.Bool().Draw(t, label+" ends") && s != "" {
		s += "\n"
	}
	return []byte(s)
}

// edit changes some lines of a text.
func edit(t *rapid.T, base []byte, label string) []byte {
	lines := slices.Collect(bytes.Lines(base))
	for range rapid.IntRange(0, 4).Draw(t, label) {
		i := rapid.IntRange(0, len(lines)).Draw(t, label+" at")
		if i < len(lines) && rapid.Bool().Draw(t, label+" delete") {
			lines = slices.Delete(lines, i, i+1)
		} else {
			lines = slices.Insert(lines, i, []byte(rapid.StringMatching(`[a-h]{1,2}`).Draw(t, label+" line")+"\n"))
		}
	}
	return bytes.Join(lines, nil)
}

func count(b []byte) map[string]int {
	n := make(map[string]int)
	for line := range bytes.Lines(b) {
		n[strings.TrimSuffix(string(line), "\n")]++
	}
	return n
}

func TestMergeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := genText(t, "base")
		ours, theirs := edit(t, base, "ours"), edit(t, base, "theirs")
		properties(t, base, ours, theirs)
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

func properties(t failer, base, ours, theirs []byte) {
	for _, x := range [][]byte{ours, theirs} {
		if m, ok := Merge(base, base, x); ok && !bytes.Equal(m, x) {
			t.Fatalf("one edit of %q: %q, not %q", base, m, x)
		}
		if m, ok := Merge(base, x, x); ok && !bytes.Equal(m, x) {
			t.Fatalf("the same edit twice of %q: %q, not %q", base, m, x)
		}
	}
	m, ok := Merge(base, ours, theirs)
	n, ok2 := Merge(base, theirs, ours)
	if ok != ok2 || !bytes.Equal(m, n) {
		t.Fatalf("not symmetric: %q and %q", m, n)
	}
	if !ok {
		return
	}
	// What an edit brought in, beyond what was there, is not lost.
	b, o, th, got := count(base), count(ours), count(theirs), count(m)
	for line, k := range o {
		if k > b[line] && th[line] >= b[line] && got[line] < k {
			t.Fatalf("%q of ours is there %d times, not %d: base %q, ours %q, theirs %q, merged %q", line, got[line], k, base, ours, theirs, m)
		}
	}
	for line, k := range th {
		if k > b[line] && o[line] >= b[line] && got[line] < k {
			t.Fatalf("%q of theirs is there %d times, not %d", line, got[line], k)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte("a\nb\n"), []byte("a\n"), []byte("b\nc\n"))
	f.Add([]byte("a\nb\nc"), []byte("x\nb\nc"), []byte("a\nb\nc\nd"))
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		if len(base)+len(ours)+len(theirs) > 1<<12 {
			return
		}
		properties(t, base, ours, theirs)
	})
}
