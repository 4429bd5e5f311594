package events

import (
	"testing"

	"github.com/portico-sso/portico/internal/engines/enginetest"
)

// TestEngines runs on every engine what depends on it.
func TestEngines(t *testing.T) {
	enginetest.Run(t,
		TestDeliver, TestFailureHoldsBackItsResource, TestBatches, TestBackOffAndDeadLetter, TestInstancesDeliverOnce,
		TestDeliveryUnderFailures, TestKilledWhileDelivering, TestReplayRange, TestScopesOfEndpoints,
		TestDeletedEndpoint, TestRotation, TestRelay, TestOutOfOrder,
		TestPartOfADocumentWaits, TestPredecessorLongGone, TestInstancesUnderFailures, TestKilledInTheMiddle, TestPoison,
		TestUnopenedDocument, TestFeedScopesAndTypes, TestWatch, TestOutboxOfAnotherProject)
}
