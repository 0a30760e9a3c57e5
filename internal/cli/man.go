package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/tradle/cloudpal/internal/fault"
)

func newMan(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		GroupID: "care",
		Short:   "Write the manual pages to a folder",
		Long:    `Man writes one manual page per command, in the format of man(1).`,
		Example: `  cloudpal man /usr/local/share/man/man1`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if err := os.MkdirAll(a[0], 0o755); err != nil {
				return fmt.Errorf("make %s: %w", a[0], err)
			}
			return g.writePages(cmd.Root(), a[0])
		},
	}
}

// writePages writes the page of a command and those of its commands.
func (g *globals) writePages(cmd *cobra.Command, dir string) error {
	cmd.InitDefaultHelpFlag()
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			if err := g.writePages(c, dir); err != nil {
				return err
			}
		}
	}
	page := *cmd
	if !cmd.HasParent() {
		page.Long = rootLong
	}
	page.Long += exitSection()
	name := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write manual page: %w", err)
	}
	defer f.Close()
	if err := doc.GenMan(&page, &doc.GenManHeader{Title: "CLOUDPAL", Section: "1", Source: "cloudpal"}, f); err != nil {
		return fmt.Errorf("write manual page %s: %w", name, err)
	}
	if g.json {
		return json.NewEncoder(g.stdout).Encode(writtenPage{"page", name})
	}
	return f.Close()
}

// writtenPage is the event of one manual page.
type writtenPage struct {
	Type string `json:"type"`
	Path string `json:"path"`
}

// exitSection is the section of the exit codes in the markup of manual pages.
func exitSection() string {
	var b strings.Builder
	b.WriteString("\n\n# EXIT STATUS\n")
	for _, e := range fault.ExitCodes() {
		fmt.Fprintf(&b, "**%d**\n: %s\n\n", e.Code, e.Help)
	}
	return b.String()
}
