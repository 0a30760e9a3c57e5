package interop

import "os"

// No program that a test starts finds peers through a DHT unless the test names
// the nodes.
func init() { os.Setenv("CLOUDPAL_BOOTSTRAP", "none") }
