package organization

import (
	"context"
	"net/url"

	"github.com/portico-sso/portico/core/fault"
)

// Settings are what is switched for an organization as a whole.
type Settings struct {
	SCIMOff bool `json:"scimOff,omitempty"` // no directory of it is let in
	// SCIMBaseURL is where clients see its directories, without a slash at the end, as in addresses they are answered with;
	// "" for the installation's own.
	SCIMBaseURL string `json:"scimBaseUrl,omitempty"`
	// PasswordsBesideSSO lets passwords in although the organization has an active connection.
	PasswordsBesideSSO bool `json:"passwordsBesideSso,omitempty"`
}

// ChangeSettings alters the settings of an organization. Faults: NotFound, Invalid at scimBaseUrl.
func (s *Service) ChangeSettings(ctx context.Context, organizationID string, change func(*Settings)) (Organization, error) {
	return s.repo.Change(ctx, organizationID, func(o *Organization) error {
		change(&o.Settings)
		o.UpdatedAt = s.ids.Now().UTC()
		return validBase(&o.Settings.SCIMBaseURL)
	})
}

func validBase(base *string) error {
	for n := len(*base); n > 0 && (*base)[n-1] == '/'; n = len(*base) {
		*base = (*base)[:n-1]
	}
	u, err := url.Parse(*base)
	if *base != "" && (err != nil || len(*base) > 1024 || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return fault.At("scimBaseUrl", "invalid", "Give an address such as https://scim.example.com, without query and fragment.")
	}
	return nil
}
