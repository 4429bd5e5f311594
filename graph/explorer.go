package graph

import (
	"bytes"
	"embed"
	"net/http"
	"strings"
	"time"
)

//go:embed explorer
var explorerFiles embed.FS

const assetsPath = Path + "/assets/"

// explorerPolicy lets the page use its own script and style and ask this API, and nothing else.
const explorerPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// serveExplorer serves the page in which a person writes queries.
func serveExplorer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", explorerPolicy)
	w.Header().Add("Vary", "Accept")
	serveFile(w, r, "index.html")
}

// serveAsset serves the page's script and style. They are embedded: the page needs no other server.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method not allowed.", http.StatusMethodNotAllowed)
		return
	}
	serveFile(w, r, strings.TrimPrefix(r.URL.Path, assetsPath))
}

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	content, err := explorerFiles.ReadFile("explorer/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-cache") // a new release brings a new page
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
