package federationtest

import (
	"html/template"
	"net/http"
	"slices"
)

// User is a person that the provider knows.
type User struct {
	ID, Email, FirstName, LastName string
	Roles, Groups                  []string
}

// Answer returns the response that signs a user in at the service provider that asked.
func (p *IdP) Answer(q Request, u User) Response {
	return Response{
		ACS: q.ACS, Audience: q.Issuer, InResponseTo: q.ID, NameID: u.Email, NameIDFormat: FormatEmail, Attributes: u.attributes(),
	}
}

func (u User) attributes() (out []Attribute) {
	add := func(name string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			out = append(out, Attribute{
				Name: name, NameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:basic", Values: values,
			})
		}
	}
	add("id", u.ID)
	add("email", u.Email)
	add("firstName", u.FirstName)
	add("lastName", u.LastName)
	add("roles", u.Roles...)
	add("groups", u.Groups...)
	return out
}

// HandlerOptions say how Handler behaves.
type HandlerOptions struct {
	User User     // offered on the sign-in page, where the e-mail address and names can be changed
	ACS  []string // the service providers that are answered; nil answers all
	// SignedIn says that the user has signed in before: the sign-in page is shown only to requests with ForceAuthn.
	SignedIn bool
}

// Handler serves the provider to a browser, under paths relative to where it is mounted: metadata, sso (the sign-in
// page), login (which answers the service provider), post.js and page.css. SSOURL must lead to sso. Any password would do, so
// none is asked for.
func (p *IdP) Handler(o HandlerOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write(p.Metadata())
	})
	mux.HandleFunc("GET /post.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write([]byte(`document.forms[0].submit();`))
	})
	mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(style))
	})
	mux.HandleFunc("/sso", func(w http.ResponseWriter, r *http.Request) {
		q, err := ParseRequest(r, nil)
		if err != nil || !o.serves(q.ACS) {
			http.Error(w, "This is not a request that the identity provider can answer.", http.StatusBadRequest)
			return
		}
		if o.SignedIn && !q.ForceAuthn {
			p.answer(w, o, q, o.User)
			return
		}
		page(w, signInPage, struct {
			Request
			User
		}{q, o.User})
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		q := Request{ID: r.PostFormValue("id"), Issuer: r.PostFormValue("issuer"), ACS: r.PostFormValue("acs"),
			RelayState: r.PostFormValue("relayState")}
		u := o.User
		if email := r.PostFormValue("email"); email != u.Email {
			u.ID, u.Email = email, email
		}
		u.FirstName, u.LastName = r.PostFormValue("firstName"), r.PostFormValue("lastName")
		p.answer(w, o, q, u)
	})
	return mux
}

// answer sends the browser back with a response.
func (p *IdP) answer(w http.ResponseWriter, o HandlerOptions, q Request, u User) {
	response, err := p.Response(p.Answer(q, u))
	if err != nil || !o.serves(q.ACS) {
		http.Error(w, "The identity provider cannot answer.", http.StatusBadRequest)
		return
	}
	page(w, postPage, map[string]string{"ACS": q.ACS, "SAMLResponse": response, "RelayState": q.RelayState})
}

func (o HandlerOptions) serves(acs string) bool { return o.ACS == nil || slices.Contains(o.ACS, acs) }

func page(w http.ResponseWriter, t *template.Template, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	// No form-action: browsers apply it to the redirects after the form, too.
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'")
	_ = t.Execute(w, data)
}

const style = `:root { color-scheme: light dark; }
body { max-width: 24rem; margin: 12vh auto 0; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; }
input, button { display: block; box-sizing: border-box; width: 100%; padding: .6rem .75rem; font: inherit; border: 1px solid #8a8f9c; border-radius: 8px; }
button { margin-top: 1.5rem; font-weight: 600; color: #fff; background: #1d6b57; border-color: #1d6b57; cursor: pointer; }
:focus-visible { outline: 3px solid #3f9c84; outline-offset: 2px; }
`

var signInPage = template.Must(template.New("sign-in").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in: test identity provider</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head>
<body><h1>Test identity provider</h1>
<p>Who are you? This provider believes whatever you say, and tells <b>{{.Issuer}}</b>, which asked.</p>
<form method="post" action="login">
<input type="hidden" name="id" value="{{.Request.ID}}"><input type="hidden" name="issuer" value="{{.Issuer}}">
<input type="hidden" name="acs" value="{{.ACS}}"><input type="hidden" name="relayState" value="{{.RelayState}}">
<p><label>E-mail <input type="email" name="email" value="{{.Email}}" required autofocus></label></p>
<p><label>First name <input name="firstName" value="{{.FirstName}}"></label></p>
<p><label>Last name <input name="lastName" value="{{.LastName}}"></label></p>
<p><button>Sign in</button></p></form></body></html>
`))

var postPage = template.Must(template.New("post").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signing in</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"><script src="post.js" defer></script></head>
<body><form method="post" action="{{.ACS}}">
<input type="hidden" name="SAMLResponse" value="{{.SAMLResponse}}">
{{if .RelayState}}<input type="hidden" name="RelayState" value="{{.RelayState}}">
{{end}}<button>Continue</button></form></body></html>
`))
