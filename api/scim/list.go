package scim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/portico-sso/portico/core/dirsync"
	"github.com/portico-sso/portico/core/dirsync/scim"
)

// asked is what a list is asked for, by the query of a GET or the body of a search (RFC 7644 §3.4.2, §3.4.3; RFC 9865).
type asked struct {
	Schemas            []string `json:"schemas"`
	Filter             string   `json:"filter"`
	SortBy             string   `json:"sortBy"`
	SortOrder          string   `json:"sortOrder"`
	StartIndex         *int     `json:"startIndex"`
	Count              *int     `json:"count"`
	Cursor             *string  `json:"cursor"`
	Attributes         []string `json:"attributes"`
	ExcludedAttributes []string `json:"excludedAttributes"`
}

// found is one page of a list as it is answered.
type found struct {
	kinds []shown // the resources
	total int64
	start int // 0 for a page by cursor
	next  string
}

func (h *Handler) list(c *call, k kind) (answer, error) {
	q, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return answer{}, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidSyntax, Detail: "The query of the address cannot be read."}
	}
	a, err := askedByQuery(q)
	if err != nil {
		return answer{}, err
	}
	return h.find(c, a, k)
}

func askedByQuery(q url.Values) (asked, error) {
	a := asked{Filter: q.Get("filter"), SortBy: q.Get("sortBy"), SortOrder: q.Get("sortOrder"),
		Attributes: names(q["attributes"]), ExcludedAttributes: names(q["excludedAttributes"])}
	if q.Has("cursor") {
		cursor := q.Get("cursor")
		a.Cursor = &cursor
	}
	for name, to := range map[string]struct {
		value    **int
		scimType string
	}{"startIndex": {&a.StartIndex, scim.TypeInvalidValue}, "count": {&a.Count, scim.TypeInvalidCount}} {
		if q.Get(name) == "" {
			continue
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil {
			return a, &scim.Error{Status: http.StatusBadRequest, Type: to.scimType, Detail: name + " is not a number."}
		}
		*to.value = &n
	}
	return a, nil
}

// names are the names in comma lists.
func names(lists []string) []string {
	var all []string
	for _, name := range strings.Split(strings.Join(lists, ","), ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// search serves /Users/.search and /Groups/.search.
func (h *Handler) search(c *call, k kind) (answer, error) {
	a, err := c.asked()
	if err != nil {
		return answer{}, err
	}
	return h.find(c, a, k)
}

// searchAll serves /.search: users, and behind them groups.
func (h *Handler) searchAll(c *call) (answer, error) {
	a, err := c.asked()
	if err != nil {
		return answer{}, err
	}
	if a.Cursor != nil || a.SortBy != "" {
		return answer{}, &scim.Error{Status: http.StatusNotImplemented,
			Detail: "A search of all resource types knows neither cursor nor sortBy. Search Users or Groups."}
	}
	return h.find(c, a, h.kinds...)
}

func (c *call) asked() (asked, error) {
	var a asked
	if err := json.Unmarshal(c.body, &a); err != nil {
		return a, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidSyntax, Detail: "The search is not a JSON object of RFC 7644 §3.4.3."}
	}
	if len(a.Schemas) != 1 || !strings.EqualFold(a.Schemas[0], scim.SearchURN) {
		return a, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidSyntax, Detail: "schemas must be " + scim.SearchURN + "."}
	}
	return a, nil
}

// find answers a list of one kind after the other. What a kind has no attributes for, it has no resources for, if another has.
func (h *Handler) find(c *call, a asked, kinds ...kind) (answer, error) {
	start, count := a.page()
	if a.Cursor != nil && count == 0 { // a page without a next cursor would be the last one
		return answer{}, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidCount,
			Detail: "A page by cursor has 1 to " + strconv.Itoa(maxPage) + " resources."}
	}
	list := found{start: start}
	refused := 0
	for _, k := range kinds {
		q, p, err := a.query(k)
		if err != nil {
			if refused++; refused == len(kinds) {
				return answer{}, err
			}
			continue
		}
		q.Start, q.Count = start-int(min(list.total, int64(start-1))), count-len(list.kinds)
		page, err := k.list(c.Context(), c.directory, q)
		if err != nil {
			return answer{}, err
		}
		for _, o := range page.Items {
			list.kinds = append(list.kinds, shown{k, o, p})
		}
		list.total += page.Total
		list.next = page.Next
	}
	if a.Cursor != nil {
		list.start = 0
	}
	return answer{status: http.StatusOK, list: &list}, nil
}

// page is the first index and the size of the page, RFC 7644 §3.4.2.4.
func (a asked) page() (start, count int) {
	start, count = 1, defaultPage
	if a.StartIndex != nil {
		start = max(1, *a.StartIndex)
	}
	if a.Count != nil {
		count = min(max(0, *a.Count), maxPage)
	}
	return start, count
}

func (a asked) query(k kind) (q dirsync.Query, p scim.Projection, err error) {
	q.Cursor = a.Cursor
	if p, err = scim.ParseProjection(k.ResourceType, a.Attributes, a.ExcludedAttributes); err != nil {
		return q, p, err
	}
	q.NoGroups = !p.Wants("groups")
	if a.Filter != "" {
		if q.Filter, err = scim.ParseFilter(k.ResourceType, a.Filter); err != nil {
			return q, p, err
		}
	}
	switch {
	case a.SortOrder != "" && !strings.EqualFold(a.SortOrder, "ascending") && !strings.EqualFold(a.SortOrder, "descending"):
		return q, p, &scim.Error{Status: http.StatusBadRequest, Type: scim.TypeInvalidValue, Detail: "sortOrder is ascending or descending."}
	case a.SortBy != "":
		q.Order, err = scim.ParseOrder(k.ResourceType, a.SortBy, strings.EqualFold(a.SortOrder, "descending"))
	}
	return q, p, err
}
