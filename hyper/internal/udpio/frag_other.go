//go:build !linux && !darwin

package udpio

import "net"

// setDontFragment does nothing: packets above the size of the path arrive in
// pieces here.
func setDontFragment(*net.UDPConn) {}
