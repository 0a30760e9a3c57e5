package cli

import (
	"cmp"
	"os"
)

// testLAN is the variable by which a script names the interfaces of the local link.
const testLAN = "CLOUDPAL_TEST_LAN"

// No test finds peers through a DHT unless it names the nodes, nor on the local
// link unless it names the interfaces. Scripts run this program too, so it holds
// for them as well.
func init() {
	os.Setenv(bootstrapEnv, none)
	os.Setenv(lanEnv, cmp.Or(os.Getenv(testLAN), none))
}
