package space_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "runs of the simulator")
	simFirst = flag.Int("sim.first", 0, "first seed of the simulator")
	simSeed  = flag.Int64("sim.seed", -1, "run the simulator with this seed only")
)

// TestNothingIsLostWhateverHappens runs the devices of several people in one process, with
// the space and its files as they are. Links carry what they carry, power goes, people come
// and go and change what others may do, somebody lies. A run that fails tells its seed:
// -sim.seed runs it again.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	if *simSeed >= 0 {
		space.Simulate(t, uint64(*simSeed), spacefs.Collection())
		return
	}
	seeds := *simSeeds
	if n, err := strconv.Atoi(os.Getenv("SIM_SEEDS")); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds = min(seeds, 30)
	}
	t.Cleanup(func() {
		recovered, forked, jumps := space.Simulated()
		t.Logf("%d recoveries, of which a replay does not follow %d; %d jumps", recovered, forked, jumps)
	})
	for seed := *simFirst; seed < *simFirst+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			space.Simulate(t, uint64(seed), spacefs.Collection())
		})
	}
}
