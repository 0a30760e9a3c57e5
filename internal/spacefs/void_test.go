package spacefs

import (
	"os"
	"testing"

	"github.com/tradle/cloudpal/internal/space"
)

// What somebody changed who did not know yet that they may not write any more counts for
// nobody, and stays in their folder: it is nowhere else.
func TestChangesAfterRemovalStayInTheFolder(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *machine, *machine){
		"removed": func(t *testing.T, a, b *machine) { must(t, a.space.Remove(t.Context(), b.badge.proof.Identity)) },
		"viewer": func(t *testing.T, a, b *machine) {
			must(t, a.space.SetRole(t.Context(), b.badge.proof.Identity, space.Viewer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, cut := pair(t, Options{})
			a.write("one.txt", "one\n")
			a.write("two.txt", "two\n")
			a.sync()
			b.sync()
			wantFolders(t, map[string]string{"one.txt": "one\n", "two.txt": "two\n"}, a, b)
			cut()
			b.write("one.txt", "one, by bob\n")
			b.write("new/three.txt", "three\n")
			must(t, os.Remove(b.path("two.txt")))
			eventually(t, "bob has committed", func() bool {
				_, two := b.lookup("two.txt")
				return b.read("one.txt") == "one, by bob\n" && b.read("new/three.txt") == "three\n" && !two
			})
			end(t, a, b)
			connect(t, a, b)
			eventually(t, "bob knows", func() bool {
				_, three := b.lookup("new/three.txt")
				return b.read("one.txt") == "one\n" && !three
			})
			wantFolders(t, map[string]string{"one.txt": "one, by bob\n", "two.txt": "two\n", "new/three.txt": "three\n"}, b)
			wantFolders(t, map[string]string{"one.txt": "one\n", "two.txt": "two\n"}, a)
			b.leaveFolder()
			b.sync()
			eventually(t, "it is looked at again", func() bool { return !b.folder.Status().LastScan.IsZero() && b.folder.Status().Pending > 0 })
			wantFolders(t, map[string]string{"one.txt": "one, by bob\n", "two.txt": "two\n", "new/three.txt": "three\n"}, b)
		})
	}
}
