package interop

import "os"

// No program that a test starts finds peers through a DHT unless the test names
// the nodes, nor on the local link unless the test names the interfaces.
func init() {
	os.Setenv("CLOUDPAL_BOOTSTRAP", "none")
	os.Setenv("CLOUDPAL_LAN", "none")
}
