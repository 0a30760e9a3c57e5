package service

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Name is what the service is called.
const Name = "cloudpal"

// Unit is a node as a service.
type Unit struct {
	// Program is the absolute path of the program, Args what it is run with.
	Program string
	Args    []string
	// Env are variables, each NAME=VALUE.
	Env []string
	// User makes it a service of the system that runs as that user; empty is one of
	// the person who installs it.
	User string
}

// Systemd returns the unit file for systemd. The service may use the network and the
// files that its user may use, and nothing that it does not need.
func (u *Unit) Systemd() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[Unit]")
	line("Description=CloudPal, a personal data cloud")
	line("Documentation=https://github.com/tradle/cloudpal")
	if u.User != "" {
		line("Wants=network-online.target")
		line("After=network-online.target")
	}
	line("")
	line("[Service]")
	line("Type=notify")
	words := []string{systemdWord(u.Program)}
	for _, a := range u.Args {
		words = append(words, systemdWord(a))
	}
	line("ExecStart=%s", strings.Join(words, " "))
	for _, e := range u.Env {
		line("Environment=%s", systemdWord(e))
	}
	line("Restart=on-failure")
	line("RestartSec=5")
	line("# What another start does not mend: wrong flags, no rights, damaged data.")
	line("RestartPreventExitStatus=2 5 6 9")
	line("WatchdogSec=60")
	line("TimeoutStopSec=30")
	line("UMask=0077")
	line("NoNewPrivileges=yes")
	line("LockPersonality=yes")
	line("MemoryDenyWriteExecute=yes")
	line("RestrictRealtime=yes")
	line("RestrictSUIDSGID=yes")
	line("RestrictNamespaces=yes")
	line("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK")
	line("SystemCallArchitectures=native")
	line("SystemCallFilter=@system-service")
	line("SystemCallErrorNumber=EPERM")
	if u.User == "" {
		line("")
		line("[Install]")
		line("WantedBy=default.target")
		return b.String()
	}
	line("User=%s", u.User)
	line("CapabilityBoundingSet=")
	line("ProtectSystem=full")
	line("ProtectKernelTunables=yes")
	line("ProtectKernelModules=yes")
	line("ProtectKernelLogs=yes")
	line("ProtectControlGroups=yes")
	line("ProtectClock=yes")
	line("ProtectHostname=yes")
	line("PrivateDevices=yes")
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return b.String()
}

// systemdWord writes a word so that systemd reads it as it is, also in the place of a
// program.
func systemdWord(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`, "\t", `\t`).Replace(s)
	return `"` + s + `"`
}

// Launchd returns the property list for launchd.
func (u *Unit) Launchd() string {
	var b strings.Builder
	b.WriteString(xml.Header)
	b.WriteString("<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n")
	text := func(indent, s string) {
		b.WriteString(indent + "<string>")
		_ = xml.EscapeText(&b, []byte(s)) // a builder never fails
		b.WriteString("</string>\n")
	}
	key := func(indent, s string) { b.WriteString(indent + "<key>" + s + "</key>\n") }
	key("  ", "Label")
	text("  ", Label)
	key("  ", "ProgramArguments")
	b.WriteString("  <array>\n")
	for _, a := range append([]string{u.Program}, u.Args...) {
		text("    ", a)
	}
	b.WriteString("  </array>\n")
	if len(u.Env) > 0 {
		key("  ", "EnvironmentVariables")
		b.WriteString("  <dict>\n")
		for _, e := range slices.Sorted(slices.Values(u.Env)) {
			name, value, _ := strings.Cut(e, "=")
			key("    ", name)
			text("    ", value)
		}
		b.WriteString("  </dict>\n")
	}
	key("  ", "RunAtLoad")
	b.WriteString("  <true/>\n")
	key("  ", "KeepAlive")
	b.WriteString("  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n")
	key("  ", "ProcessType")
	text("  ", "Background")
	key("  ", "Umask")
	b.WriteString("  <integer>63</integer>\n</dict>\n</plist>\n")
	return b.String()
}

// Label is what the service is called with launchd.
const Label = "io.tradle.cloudpal"
