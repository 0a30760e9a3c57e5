package cli

import (
	"encoding/json"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: "care",
		Short:   "Print the version",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if g.json {
				return json.NewEncoder(g.stdout).Encode(map[string]string{
					"type": "version", "version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			return g.print("cloudpal %s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
