package cli

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		GroupID: "care",
		Short:   "Write the manual pages to a folder",
		Example: `  cloudpal man /usr/local/share/man/man1`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := os.MkdirAll(a[0], 0o755); err != nil {
				return err
			}
			return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Title: "CLOUDPAL", Section: "1", Source: "cloudpal"}, a[0])
		},
	}
}
