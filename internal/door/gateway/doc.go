// Package gateway shows drives to web browsers and other HTTP clients: each
// drive is a site, each version of it has addresses that never change.
//
// With one site the drive is at /, otherwise the sites are at /NAME/ and a list
// of them is at /. A version follows the name, or stands alone, behind an at
// sign: /NAME@12/a.html, /@12/a.html. A first folder of a drive whose name has
// that form is reached through a version only.
//
// The gateway reads and never writes. It trusts neither drives nor clients. It
// asks a client for nothing: who can reach its address can read every site it
// was given, so it is meant for the loopback interface or for public drives. On
// the loopback interface it answers only requests that name a loopback host,
// which keeps pages of other sites from reading drives by DNS rebinding. Sites
// that share one address are kept from reading each other by a sandbox without
// an origin of their own.
package gateway
