package google

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/fault"
)

// How long a link is good for where nobody chooses, and at most.
const (
	LinkTime    = 7 * 24 * time.Hour
	maxLinkTime = 30 * 24 * time.Hour
)

// link is what an administrator of a customer is let in by, to connect one directory once.
type link struct {
	DirectoryID string `json:"d"`
	Links       int64  `json:"n"` // dirsync.Google.Links, when it was made: connecting makes it void
	Until       int64  `json:"u"` // seconds
	Domain      string `json:"h,omitempty"`
}

func linksOf(d dirsync.Directory) int64 {
	if d.Google == nil {
		return 0
	}
	return d.Google.Links
}

func askedOf(d dirsync.Directory) int64 {
	if d.Google == nil {
		return 0
	}
	return d.Google.Asked
}

var domainName = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// Link makes the address at which an administrator of a customer connects a workspace to a directory, once, until it expires: in
// so long, or LinkTime where that is 0. A domain has it good for the workspace of that domain alone. Faults: Invalid, NotFound
// where no client is configured.
func (s *Service) Link(d dirsync.Directory, domain string, in time.Duration) (address string, expires time.Time, err error) {
	domain = strings.ToLower(strings.TrimSpace(domain))
	switch {
	case s.Source == nil:
		return "", time.Time{}, errNoClient
	case d.Type != dirsync.GoogleAPI:
		return "", time.Time{}, errNotGoogle
	case in < 0 || in > maxLinkTime:
		return "", time.Time{}, fault.At("expiresInSeconds", "invalid", "A link is good for 30 days at most.")
	case domain != "" && (len(domain) > 253 || !domainName.MatchString(domain)):
		return "", time.Time{}, fault.At("domain", "invalid", "Give a domain such as example.com, in ASCII.")
	case in == 0:
		in = LinkTime
	}
	expires = s.now().Add(in).Truncate(time.Second)
	body, err := json.Marshal(link{d.ID, linksOf(d), expires.Unix(), domain})
	if err != nil {
		return "", time.Time{}, err
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return s.PublicURL + PathAuthorize + "?" + url.Values{LinkParameter: {text + "." + s.sign(text)}}.Encode(), expires, nil
}

// sign has a key of its own, so that nothing else that the installation's secret signs is a link.
func (s *Service) sign(text string) string {
	key := hmac.New(sha256.New, s.Secret)
	key.Write([]byte("portico google connect link"))
	h := hmac.New(sha256.New, key.Sum(nil))
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (s *Service) readLink(token string) (k link, err error) {
	text, signature, _ := strings.Cut(token, ".")
	if !hmac.Equal([]byte(signature), []byte(s.sign(text))) {
		return link{}, errLink
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(body, &k)
	}
	if err != nil || !s.now().Before(time.Unix(k.Until, 0)) {
		return link{}, errLink
	}
	return k, nil
}
