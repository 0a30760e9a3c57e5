package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// random makes a file of random bytes, which nothing can make smaller.
func (s *keeper) random(name string, size int64) {
	t := s.b.t
	t.Helper()
	f, err := os.Create(s.path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rand.NewChaCha8([32]byte{byte(size), byte(len(name))})
	b := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(b)) {
		b = b[:min(left, int64(len(b)))]
		r.Read(b)
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// still waits until both folders are equal and the nodes exchange nothing any more, and
// returns how many bytes went over the cable until then.
func still(t testing.TB, one, two *keeper) (traffic uint64) {
	t.Helper()
	const little = 5000 // bytes, of nodes that see whether the other is there
	equal(t, one, two)
	eventually(t, "still", func() bool {
		before := one.traffic()
		time.Sleep(3 * time.Second) // longer than what a node puts off
		traffic = one.traffic()
		return traffic-before < little
	})
	return traffic
}

// stored returns how many bytes are in the data folders of two nodes, which do not run
// meanwhile.
func stored(one, two *keeper) (a, b int64) {
	for _, s := range []*keeper{one, two} {
		s.node.interrupt()
	}
	a, b = one.size(), two.size()
	one.up()
	two.up()
	return a, b
}

// verify has the other side prove what it has. That is due a few times a day, and costs by
// itself.
func (s *keeper) verify() {
	s.b.t.Helper()
	eventually(s.b.t, "verified", func() bool {
		return strings.Contains(s.run("space", "status", "family", "--verify", "--json"), `"verified":`)
	})
}

// cost runs something that changes one of the folders, waits until they are equal, and
// returns how many bytes that sent, both ways, and how many each side stores since.
func cost(t testing.TB, one, two *keeper, change func()) (sent uint64, storedOne, storedTwo int64) {
	t.Helper()
	a, b := stored(one, two)
	for _, s := range []*keeper{one, two} {
		s.verify()
	}
	before := still(t, one, two)
	change()
	sent = still(t, one, two) - before
	storedOne, storedTwo = stored(one, two)
	return sent, storedOne - a, storedTwo - b
}

// A byte that changes in a large file costs what is around it, and a folder that is
// renamed costs its name, whatever is in it.
func TestSmallChangesOfLargeFoldersCostLittle(t *testing.T) {
	if !alone(t) {
		return
	}
	const files = 10_000
	one, two := twoKeepers(t)
	one.random("large", 1<<30)
	one.shell(fmt.Sprintf(`mkdir -p many; cd many; mkdir d{0..99}; for i in $(seq %d); do echo "file $i" > d$((i %% 100))/f$i; done`, files))
	one.sync()
	two.sync()
	equal(t, one, two)

	sent, storedOne, storedTwo := cost(t, one, two, func() {
		two.shell(`printf x | dd of=large bs=1 seek=$((3 << 28)) conv=notrunc status=none`)
	})
	t.Logf("a byte of 1 GiB: %d bytes sent, %d and %d stored", sent, storedOne, storedTwo)
	if sent > 300_000 || storedOne > 300_000 || storedTwo > 300_000 {
		t.Error("want less than 300 kB each")
	}
	sent, storedOne, storedTwo = cost(t, one, two, func() { one.shell("mv many lots") })
	t.Logf("a folder of %d files: %d bytes sent, %d and %d stored", files, sent, storedOne, storedTwo)
	if sent > 2_000_000 {
		t.Error("want less than 2 MB")
	}
	eventually(t, "all files in the second folder", func() bool {
		_, e := two.quiet() // it has only begun again
		return e.Num("files") == files+102
	})
}

// A transfer that is broken off by a kill, of either side, goes on where it was: less than
// one part in a hundred is sent again. (A sender that is killed while it still reads the
// file reads it anew, see docs/status.md.)
func TestKilledTransferGoesOnWhereItWas(t *testing.T) {
	if !alone(t) {
		return
	}
	const size = 1 << 30
	one, two := twoKeepers(t)
	one.sync()
	two.sync()
	one.random("first", 256<<20)
	_, before := two.moved()
	equal(t, one, two)
	_, after := two.moved()
	// What a transfer takes beside the content, for each byte of it.
	overhead := float64(after-before)/(256<<20) - 1

	begin := after
	arrived := func(part float64) uint64 {
		t.Helper()
		for until := time.Now().Add(3 * patience); ; time.Sleep(20 * time.Millisecond) {
			if _, now := two.moved(); float64(now-begin) > part*size {
				return now - begin
			} else if time.Now().After(until) {
				t.Fatalf("%d bytes sent, not %.0f %% of the file", now-begin, part*100)
			}
		}
	}
	one.random("second", size)
	at := arrived(0.4)
	two.node.kill()
	t.Logf("the receiver is killed after %d bytes", at)
	for until := time.Now().Add(3 * patience); ; time.Sleep(100 * time.Millisecond) {
		if quiet, e := one.quiet(); quiet && e.Num("files") == 2 {
			break // read by the sender
		} else if time.Now().After(until) {
			t.Fatalf("the sender does not read the file: %v", e)
		}
	}
	two.up()
	at = arrived(0.7)
	one.node.kill()
	t.Logf("the sender is killed after %d bytes", at)
	one.up()
	equal(t, one, two)
	_, end := two.moved()
	again := float64(end-begin)/size - 1 - overhead
	t.Logf("%d bytes received for %d, with an overhead of %.4f: %.2f %% again", end-begin, size, overhead, 100*again)
	if again > 0.01 {
		t.Error("want less than 1 %")
	}
}
