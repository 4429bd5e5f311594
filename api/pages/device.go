package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-sso/portico/core/fault"
	"github.com/portico-sso/portico/core/oauth"
	"github.com/portico-sso/portico/ports/federation"
)

// Devices is what the device page needs of core.
type Devices interface {
	Device(ctx context.Context, userCode string) (oauth.DeviceRequest, error)
	ApproveDevice(ctx context.Context, userCode, connection string, b *oauth.Browser) (federation.Outgoing, error)
	DenyDevice(ctx context.Context, userCode string) error
}

// deviceView is what the device page shows: one of the code's field, the question, and the end.
type deviceView struct {
	Typed, Problem, Shown string
	Request               *oauth.DeviceRequest
	Done, Denied          bool
}

const maxDeviceForm = 4 << 10

// Device serves GET /device: where a person types the code of a device (RFC 8628 §3.3), and is asked whether to go on. A code
// in the address is never enough: whoever sent it may be the one with the device.
func (p *Pages) Device(d Devices) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		typed := q.Get("user_code")
		switch {
		case q.Has("done"):
			p.device(w, r, http.StatusOK, deviceView{Done: true})
		case q.Has("denied"):
			p.device(w, r, http.StatusOK, deviceView{Denied: true})
		case typed == "":
			p.device(w, r, http.StatusOK, deviceView{})
		default:
			request, err := d.Device(r.Context(), typed)
			if err != nil {
				p.deviceProblem(w, r, typed, err)
				return
			}
			half := len(request.UserCode) / 2
			p.device(w, r, http.StatusOK, deviceView{Request: &request, Shown: request.UserCode[:half] + "-" + request.UserCode[half:]})
		}
	}
}

// DecideDevice serves POST /device: the person's answer. Other sites cannot send it (see http.CrossOriginProtection).
func (p *Pages) DecideDevice(d Devices) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxDeviceForm)
		code := r.PostFormValue("user_code")
		switch r.PostFormValue("action") {
		case "approve":
			b := Browser(r)
			out, err := d.ApproveDevice(r.Context(), code, r.PostFormValue("connection"), b)
			if err != nil {
				p.deviceProblem(w, r, code, err)
				return
			}
			p.Keep(w, b)
			p.Go(w, r, out)
		case "deny":
			if err := d.DenyDevice(r.Context(), code); err != nil {
				p.deviceProblem(w, r, code, err)
				return
			}
			w.Header().Set("Location", p.Base+oauth.PathDevice+"?"+url.Values{"denied": {""}}.Encode())
			w.WriteHeader(http.StatusSeeOther)
		default:
			p.deviceProblem(w, r, code, fault.New(fault.Invalid, "invalid_request", "Answer by one of the buttons."))
		}
	}
}

func (p *Pages) deviceProblem(w http.ResponseWriter, r *http.Request, typed string, err error) {
	f := fault.From(err)
	if f.Kind == fault.Internal || f.Kind == fault.Unavailable {
		p.Error(w, r, err)
		return
	}
	p.device(w, r, Status(f.Kind), deviceView{Typed: strings.ToValidUTF8(typed[:min(len(typed), 16)], ""), Problem: f.Message})
}

func (p *Pages) device(w http.ResponseWriter, r *http.Request, status int, v deviceView) {
	w.Header().Set("Cache-Control", "no-store")
	p.render(w, r, status, "device.html", v)
}

// TooMany answers somebody who types one code after the other.
func (p *Pages) TooMany(w http.ResponseWriter, r *http.Request) {
	p.device(w, r, http.StatusTooManyRequests, deviceView{Problem: "That were too many codes. Wait a minute, then type the code that your device shows."})
}
