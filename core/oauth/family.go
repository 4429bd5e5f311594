package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/id"
)

// family is an application's lasting access to a person (scope offline_access): the refresh tokens of one login, of which
// one is good at a time, and the access tokens that they bought. Its refresh tokens are made from its key and their number,
// so an answer that was lost can be given again.
type family struct {
	ID        string    `json:"id"` // hexadecimal of 16 bytes
	Grant     grant     `json:"grant"`
	Key       []byte    `json:"key"`
	Number    uint64    `json:"number"` // of the refresh token that is good
	RotatedAt time.Time `json:"rotatedAt"`
	StartedAt time.Time `json:"startedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	Bought    []bought  `json:"bought,omitempty"` // access tokens that are alive, for ending them

	Confirmation confirmation `json:"cnf,omitzero"` // of a public client, which proves itself by nothing else (RFC 9449 §5)

	version int64
}

// bought is an access token of a family.
type bought struct {
	TokenID   string    `json:"tokenId"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// How long refresh tokens last, and how many access tokens of one family live at once.
const (
	refreshIdle  = 30 * 24 * time.Hour // without use
	refreshMost  = 90 * 24 * time.Hour // however they are used
	refreshGrace = time.Minute         // the one before the good one still answers: the answer may have been lost
	maxBought    = 20
)

func (s *Service) newFamily(g grant, cnf confirmation) family {
	now := s.now()
	f := family{ID: s.IDs.Hex(16), Grant: g, Key: s.IDs.Bytes(32), Number: 1, RotatedAt: now, StartedAt: now, Confirmation: cnf}
	f.extend(now)
	return f
}

// familyConfirmation is what refreshing is bound to. A confidential client proves itself instead.
func (a Application) familyConfirmation(cnf confirmation) confirmation {
	if a.Public {
		return cnf
	}
	return confirmation{}
}

func (f *family) extend(now time.Time) {
	f.ExpiresAt = now.Add(refreshIdle)
	if most := f.StartedAt.Add(refreshMost); f.ExpiresAt.After(most) {
		f.ExpiresAt = most
	}
}

// buy notes an access token and forgets those that have ended; dropped is one too many, which ends.
func (f *family) buy(t accessToken, now time.Time) (dropped string) {
	f.Bought = slices.DeleteFunc(f.Bought, func(b bought) bool { return !b.ExpiresAt.After(now) })
	if len(f.Bought) >= maxBought {
		dropped = f.Bought[0].TokenID
		f.Bought = f.Bought[1:]
	}
	f.Bought = append(f.Bought, bought{t.ID, t.ExpiresAt})
	return dropped
}

// refreshToken is the text of a family's refresh token: prefix, and in base64url the family's id, the number, and an
// HMAC-SHA256 of both.
func (f family) refreshToken(number uint64) string {
	raw, _ := hex.DecodeString(f.ID)
	raw = binary.BigEndian.AppendUint64(raw, number)
	mac := hmac.New(sha256.New, f.Key)
	mac.Write(raw)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(raw))
}

const refreshPrefix = "rt_"

// parseRefreshToken reads which family and which of its tokens a text claims to be.
func parseRefreshToken(text string) (familyID string, number uint64, ok bool) {
	encoded, ok := strings.CutPrefix(text, refreshPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != 16+8+sha256.Size {
		return "", 0, false
	}
	return hex.EncodeToString(raw[:16]), binary.BigEndian.Uint64(raw[16:24]), true
}

// findFamily finds the family of a refresh token that we made. A NotFound fault is all that a stranger learns.
func (s *Service) findFamily(ctx context.Context, text string) (family, uint64, error) {
	none := fault.New(fault.NotFound, "not_found", "No such refresh token.")
	familyID, number, ok := parseRefreshToken(text)
	if !ok {
		return family{}, 0, none
	}
	f, err := s.families.Get(ctx, familyID)
	if err != nil {
		return f, 0, err
	}
	if !id.Equal(f.refreshToken(number), text) {
		return family{}, 0, none
	}
	return f, number, nil
}
