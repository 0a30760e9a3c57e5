package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Whoever asks a command for help gets an example that can be typed.
func TestHelpOfEveryCommandHasAnExample(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if name := cmd.CommandPath(); name != "cloudpal" && !strings.HasPrefix(name, "cloudpal completion") && !strings.HasPrefix(name, "cloudpal help") {
			if cmd.Short == "" || !strings.Contains(cmd.Example, "  cloudpal ") {
				t.Errorf("%s: example %q", name, cmd.Example)
			}
		}
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	check(newRoot(&globals{}))
}
