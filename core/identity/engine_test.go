package identity_test

import (
	"testing"

	"github.com/portico-sso/portico/internal/engines/enginetest"
)

// TestEngines runs on every engine what depends on it.
func TestEngines(t *testing.T) {
	enginetest.Run(t,
		TestAdministratorsPeople, TestSignIn, TestAdministratorsPersonSignsIn, TestSessionsEndOfWhoIsShutOut,
		TestPasswordsOfDeactivatedOrganization)
}
