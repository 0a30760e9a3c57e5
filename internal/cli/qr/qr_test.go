package qr

import (
	"bytes"
	"strings"
	"testing"

	"rsc.io/qr"
)

// read turns a drawing back into modules.
func read(t *testing.T, drawing string) [][]bool {
	t.Helper()
	var rows [][]bool
	for line := range strings.Lines(drawing) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, end+"\n"), begin)
		if !ok {
			t.Fatalf("a line is %q", line)
		}
		var upper, lower []bool
		for _, r := range line {
			i := strings.IndexRune(strings.Join(blocks[:], ""), r)
			n := map[int]int{0: 0, 1: 1, 4: 2, 7: 3}[i]
			upper, lower = append(upper, n&1 != 0), append(lower, n&2 != 0)
		}
		rows = append(rows, upper, lower)
	}
	return rows
}

func TestDrawingsShowTheCode(t *testing.T) {
	for _, text := range []string{"A", "CLOUDPAL://INVITE/" + strings.Repeat("YBNDRFG8", 20), "https://example.org/ä"} {
		var out bytes.Buffer
		if err := Write(&out, text); err != nil {
			t.Fatal(err)
		}
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		rows := read(t, out.String())
		if len(rows) < code.Size+2*quiet || len(rows[0]) != code.Size+2*quiet {
			t.Fatalf("%d by %d for a code of %d", len(rows), len(rows[0]), code.Size)
		}
		for y, row := range rows {
			for x, black := range row {
				if black != code.Black(x-quiet, y-quiet) {
					t.Fatalf("module %d,%d is wrong", x-quiet, y-quiet)
				}
			}
		}
	}
}

func TestTextsThatDoNotFit(t *testing.T) {
	if err := Write(&bytes.Buffer{}, strings.Repeat("x", 5000)); err == nil {
		t.Error("5000 bytes fit")
	}
}
