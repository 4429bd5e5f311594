package scim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/dirsync"
)

// tag is the entity tag of a version. Tags are weak: an answer may show a part of the resource (RFC 7644 §3.14).
func tag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

// none is a version that no resource has.
const none = -1

// match is a list of versions.
type match dirsync.Match

func (m match) has(version int64) bool { return slices.Contains(m, version) }

// versions reads the entity tags of If-Match or If-None-Match (RFC 9110 §13.1), weak and strong ones alike. any says that "*" is
// among them. A tag that is not ours is a version that no resource has.
func versions(headers []string) (list match, any bool) {
	for _, one := range strings.Split(strings.Join(headers, ","), ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		if one == "*" {
			any = true
			continue
		}
		version, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(one, "W/"), `"`), 10, 64)
		if err != nil {
			version = none
		}
		list = append(list, version)
	}
	return list, any
}

// ifMatch is what If-Match demands of the resource that is changed. That it is there goes without saying.
func (c *call) ifMatch() dirsync.Match {
	list, any := versions(c.Header.Values("If-Match"))
	if any {
		return nil
	}
	return dirsync.Match(list)
}
