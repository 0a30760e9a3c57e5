package cli

import (
	"encoding/json"
	"runtime"

	"github.com/spf13/cobra"
)

// build is the event of the version command.
type build struct {
	Type    string `json:"type"`
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: "care",
		Short:   "Print the version",
		Long:    `Version prints the version of the program, and of what it was built with and for.`,
		Example: `  cloudpal version --json`,
		Args:    args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if g.json {
				return json.NewEncoder(g.stdout).Encode(build{"build", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
			}
			return g.print("cloudpal %s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
