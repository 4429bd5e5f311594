package graph

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed explorer
var explorerFiles embed.FS

const assetsPath = Path + "/assets/"

// explorerPolicy lets the page use its own script and style and ask this API, and nothing else.
const explorerPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// explorer serves the page in which a person writes queries, and its script and style. It needs no other server.
func explorer() http.Handler {
	files, err := fs.Sub(explorerFiles, "explorer")
	if err != nil {
		panic("graph: the explorer is not embedded: " + err.Error()) // a name of our own
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "index.html"
		if len(r.URL.Path) > len(assetsPath) {
			name = r.URL.Path[len(assetsPath):]
		}
		h := w.Header()
		h.Set("Content-Security-Policy", explorerPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Add("Vary", "Accept")
		http.ServeFileFS(w, r, files, name)
	})
}
