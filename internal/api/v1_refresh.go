package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

// Refreshed is what became of a newer token.
type Refreshed struct {
	Principal string     `json:"principal"`         // of the token
	Expires   *time.Time `json:"expires,omitempty"` // when its sessions end now; nil is never
	Pushed
}

// Denied says why a token is not accepted.
type Denied struct {
	Available bool   // false: it could not be checked, and trying again may help
	Reason    string // in words that repeat nothing of the token
}

func (d *Denied) Error() string { return d.Reason }

// refresh answers POST /v1/refresh. A token that is not accepted is not 401: that
// is about the token of the API.
func (v *v1) refresh(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&body)
	if err == nil && decoder.Decode(new(any)) != io.EOF {
		err = errors.New("there is more after the first JSON value")
	}
	if err == nil && body.Token == "" {
		err = errors.New(`want {"token":"..."}`)
	}
	if err != nil {
		badBody(w, err)
		return
	}
	done, err := v.node.Refresh(r.Context(), body.Token)
	var denied *Denied
	switch {
	case errors.As(err, &denied) && denied.Available:
		Problem{Type: "urn:limpet:problem:token", Title: "The token is not accepted", Status: http.StatusUnprocessableEntity, Detail: denied.Reason}.Write(w)
	case err != nil:
		fail(w, err)
	case done.Result == "offline":
		WriteProblem(w, http.StatusNotFound, done.To+" has no session")
	default:
		WriteJSON(w, http.StatusOK, done)
	}
}
