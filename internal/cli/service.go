package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/user"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/node"
	"github.com/tradle/cloudpal/internal/service"
)

func newService(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "service",
		GroupID: "care",
		Short:   "Run the node in the background, from the start of your session on",
		Long: `Service has the service manager of this system, systemd or launchd, run "cloudpal up"
for you: from the start of your session to its end, and again if it fails.`,
		Example: `  cloudpal service install`,
	}
	cmd.AddCommand(newServiceInstall(g), newServiceUninstall(g), newServiceStatus(g))
	return cmd
}

// serviceFlags say which services are meant.
type serviceFlags struct{ system bool }

func (s *serviceFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.system, "system", false, "a service of the system instead of your session; needs the rights of the superuser")
}

func (s *serviceFlags) manager() *service.Manager { return &service.Manager{System: s.system} }

type serviceInstallOptions struct {
	serviceFlags
	print bool
	as    string
}

func newServiceInstall(g *globals) *cobra.Command {
	var o serviceInstallOptions
	cmd := &cobra.Command{
		Use:   "install [-- FLAG...]",
		Short: "Install the service and start it",
		Long: `Install describes the service to the service manager and starts it, or starts it anew
if it was installed before. What follows -- are flags of "up". CLOUDPAL_HOME and the
other variables of cloudpal are taken along as they are now.

With --print it shows the description and changes nothing. The service has the rights
that it needs and no others.

On Linux a service of your session ends when you log out, unless you run "loginctl
enable-linger" once. With --system it is one of the machine; it runs as the user that
--as names, with that user's data folder.`,
		Example: `  cloudpal service install
  cloudpal service install --print -- --http 127.0.0.1:4979
  sudo cloudpal service install --system --as jane`,
		Args: args(0, -1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if cmd.ArgsLenAtDash() != 0 && len(a) > 0 {
				return fault.New(fault.Usage, "%q is too much", a[0]).Hint("flags of up come behind --: cloudpal service install -- --http 127.0.0.1:4979")
			}
			return runServiceInstall(cmd.Context(), g, &o, a)
		},
	}
	o.serviceFlags.add(cmd)
	cmd.Flags().BoolVar(&o.print, "print", false, "show what would be installed and change nothing")
	cmd.Flags().StringVar(&o.as, "as", "", "with --system, run as this `USER`")
	return cmd
}

// serviceEnv are the variables that a service takes along.
var serviceEnv = []string{"CLOUDPAL_HOME", bootstrapEnv, lanEnv, mirrorEnv}

func runServiceInstall(ctx context.Context, g *globals, o *serviceInstallOptions, flags []string) error {
	if o.system != (o.as != "") {
		return fault.New(fault.Usage, "--system and --as belong together").Hint("name the user whose node it is: --system --as USER")
	}
	// What up would refuse is refused here.
	up := newUp(&globals{stdin: g.stdin, stdout: io.Discard, stderr: io.Discard})
	(&cobra.Command{Use: "cloudpal"}).AddCommand(up) // for what the hints say
	if err := up.ParseFlags(flags); err != nil {
		return wrongFlag(up, err)
	}
	if rest := up.Flags().Args(); len(rest) > 0 {
		return fault.New(fault.Usage, "%q is no flag of up", rest[0])
	}
	u, err := o.unit(flags)
	if err != nil {
		return err
	}
	m := o.manager()
	if o.print {
		text, err := m.Text(u)
		if err != nil {
			return err
		}
		if g.json {
			return json.NewEncoder(g.stdout).Encode(serviceUnit{"unit", text})
		}
		_, err = io.WriteString(g.stdout, text)
		return err
	}
	if err := m.Install(ctx, u); err != nil {
		return err
	}
	return runServiceStatus(ctx, g, &o.serviceFlags)
}

// unit describes the node as a service.
func (o *serviceInstallOptions) unit(flags []string) (*service.Unit, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return nil, err
	}
	u := &service.Unit{Program: program, Args: append([]string{"up"}, flags...), User: o.as}
	if o.as != "" {
		if _, err := user.Lookup(o.as); err != nil {
			return nil, fault.New(fault.Usage, "--as: %w", err)
		}
	}
	for _, name := range serviceEnv {
		value := os.Getenv(name)
		if name == "CLOUDPAL_HOME" && value != "" {
			if value, err = filepath.Abs(value); err != nil {
				return nil, err
			}
		}
		if value != "" {
			u.Env = append(u.Env, name+"="+value)
		}
	}
	return u, nil
}

func newServiceUninstall(g *globals) *cobra.Command {
	var o serviceFlags
	cmd := &cobra.Command{
		Use:     "uninstall",
		Short:   "Stop the service and remove it",
		Long:    `Uninstall stops the service and removes its description. The data folder stays.`,
		Example: `  cloudpal service uninstall`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.manager().Uninstall(cmd.Context()); err != nil {
				return err
			}
			return runServiceStatus(cmd.Context(), g, &o)
		},
	}
	o.add(cmd)
	return cmd
}

func newServiceStatus(g *globals) *cobra.Command {
	var o serviceFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the service is installed and runs",
		Long: `Status shows what the service manager says about the service, and whether a node
answers on the data folder, whoever started it.`,
		Example: `  cloudpal service status`,
		Args:    args(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runServiceStatus(cmd.Context(), g, &o) },
	}
	o.add(cmd)
	return cmd
}

// serviceStatus is the event of the service commands.
type serviceStatus struct {
	Type      string `json:"type"` // "service"
	Path      string `json:"path"`
	Installed bool   `json:"installed"`
	Enabled   string `json:"enabled,omitempty"`
	Active    string `json:"active,omitempty"`
	// Answers tells whether a node answers on the data folder.
	Answers bool `json:"answers"`
}

// serviceUnit is what the service manager would be told.
type serviceUnit struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func runServiceStatus(ctx context.Context, g *globals, o *serviceFlags) error {
	home, err := node.Home()
	if err != nil {
		return err
	}
	s, err := o.manager().Status(ctx)
	if err != nil {
		return err
	}
	out := serviceStatus{"service", s.Path, s.Installed, s.Enabled, s.Active, client.Answers(ctx, node.Socket(home))}
	if g.json {
		return json.NewEncoder(g.stdout).Encode(out)
	}
	state := "not installed"
	if s.Installed {
		state = s.Enabled + ", " + s.Active
	}
	answers := "no node answers"
	if out.Answers {
		answers = "a node answers"
	}
	for _, line := range [][2]string{{"service", state}, {"file", s.Path}, {"node", answers}} {
		if err := g.print("%-8s %s", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}
