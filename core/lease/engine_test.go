package lease

import (
	"testing"

	"github.com/portico-sso/portico/internal/engines/enginetest"
)

// TestEngines runs on every engine what depends on it.
func TestEngines(t *testing.T) {
	enginetest.Run(t,
		TestOneHolds, TestFencing, TestManyAcquire, TestUncertainAcquire, TestKeeper, TestJobsCoalesceAndTakeTurns, TestAskedMeanwhile,
		TestEachPageOnce, TestResume, TestFailuresWaitLonger, TestUnknownKindIsLeftAlone, TestAskLater)
}
