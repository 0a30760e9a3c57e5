package interop

import (
	"os/exec"
	"strings"
	"testing"
)

// The description of the local API is valid by the schemas of OpenAPI 3.1.
func TestTheDescriptionOfTheAPIIsValid(t *testing.T) {
	out, err := exec.Command("node", "js/openapi.mjs", "../docs/api/openapi.json").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "valid 3.1 ") {
		t.Errorf("%v\n%s", err, out)
	}
}
