package api

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"
)

// MaxTargets is the number of targets that one push may have.
const MaxTargets = 1000

// pushRequest is the body of push and broadcast.
type pushRequest struct {
	To       targets `json:"to"`
	Data     *string `json:"data"`
	Base64   *string `json:"data_base64"`
	Opcode   string  `json:"opcode"`
	Priority string  `json:"priority"`
	TTL      string  `json:"ttl"`
	ID       string  `json:"id"`
}

// targets is one target or a list of them.
type targets []string

func (t *targets) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = targets{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("to: want a target or a list of targets")
	}
	*t = many
	return nil
}

// readPush reads the body, and returns what it asks for without a target.
func readPush(r *http.Request) (pushRequest, Push, error) {
	var body pushRequest
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, Push{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return body, Push{}, errors.New("there is more after the JSON object")
	}
	p, err := body.message()
	return body, p, err
}

// message checks everything but the targets, and reports every fault at once.
func (b *pushRequest) message() (Push, error) {
	p := Push{Opcode: b.Opcode, Priority: b.Priority, ID: b.ID}
	var faults []error
	switch {
	case (b.Data == nil) == (b.Base64 == nil):
		faults = append(faults, errors.New("want one of data and data_base64"))
	case b.Data != nil:
		p.Data = []byte(*b.Data)
	default:
		var err error
		if p.Data, err = base64.StdEncoding.DecodeString(*b.Base64); err != nil {
			faults = append(faults, fmt.Errorf("data_base64: %w", err))
		}
	}
	if p.Opcode == "" {
		p.Opcode = "text"
		if b.Base64 != nil {
			p.Opcode = "binary"
		}
	}
	switch {
	case p.Opcode != "text" && p.Opcode != "binary":
		faults = append(faults, fmt.Errorf("opcode %.20q: want text or binary", p.Opcode))
	case p.Opcode == "text" && !utf8.Valid(p.Data):
		faults = append(faults, errors.New("the data is not UTF-8: want opcode binary"))
	}
	switch p.Priority {
	case "":
		p.Priority = "high"
	case "high", "medium", "low":
	default:
		faults = append(faults, fmt.Errorf("priority %.20q: want high, medium or low", p.Priority))
	}
	if b.TTL != "" {
		var err error
		if p.TTL, err = time.ParseDuration(b.TTL); err != nil || p.TTL < time.Millisecond || p.TTL > maxTTL {
			faults = append(faults, fmt.Errorf("ttl %.20q: want a duration from 1ms to %s, as 30s or 5m", b.TTL, maxTTL))
		}
	}
	if len(p.ID) > maxName {
		faults = append(faults, fmt.Errorf("id: %d bytes: want at most %d", len(p.ID), maxName))
	}
	return p, errors.Join(faults...)
}

const (
	maxName = 128 // bytes of a principal, a group or an id
	maxTTL  = 30 * 24 * time.Hour
)

// push answers POST /v1/push.
func (v *v1) push(w http.ResponseWriter, r *http.Request) {
	body, p, err := readPush(r)
	if err != nil {
		badBody(w, err)
		return
	}
	if len(body.To) == 0 || len(body.To) > MaxTargets {
		WriteProblem(w, http.StatusBadRequest, fmt.Sprintf("to: want 1 to %d targets", MaxTargets))
		return
	}
	pushes := make([]Push, len(body.To))
	for i, to := range body.To {
		if to == "all" {
			WriteProblem(w, http.StatusBadRequest, "to: use /v1/broadcast to reach all")
			return
		}
		pushes[i] = p
		pushes[i].To = to
	}
	v.send(w, r, pushes)
}

// broadcast answers POST /v1/broadcast.
func (v *v1) broadcast(w http.ResponseWriter, r *http.Request) {
	body, p, err := readPush(r)
	if err != nil {
		badBody(w, err)
		return
	}
	if len(body.To) != 0 {
		WriteProblem(w, http.StatusBadRequest, "to: a broadcast is for all")
		return
	}
	if !v.broadcasts.Allow() {
		w.Header().Set("Retry-After", "1")
		WriteProblem(w, http.StatusTooManyRequests, fmt.Sprintf("more than %.0f broadcasts per second (broadcast-rate)", v.broadcasts.Limit()))
		return
	}
	p.To = "all"
	v.send(w, r, []Push{p})
}

func (v *v1) send(w http.ResponseWriter, r *http.Request, pushes []Push) {
	pushed, err := v.node.Push(r.Context(), pushes)
	if err != nil {
		fail(w, err)
		return
	}
	WriteJSON(w, http.StatusOK, struct {
		Targets []Pushed `json:"targets"`
	}{pushed})
}

// badBody answers a request whose body cannot be taken.
func badBody(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		WriteProblem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit))
		return
	}
	var unfit *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("the body is empty: want a JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the JSON object is not complete")
	case errors.As(err, &unfit):
		err = fmt.Errorf("%s: a JSON %s does not fit here", cmp.Or(unfit.Field, "the body"), unfit.Value)
	}
	WriteProblem(w, http.StatusBadRequest, err.Error())
}

// ErrBadRequest is wrapped by V1's errors about what the caller asked for.
var ErrBadRequest = errors.New("bad request")

// fail answers a request that V1 could not serve.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrBadRequest) {
		WriteProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	if errors.Is(err, ErrConflict) {
		WriteProblem(w, http.StatusConflict, err.Error())
		return
	}
	w.Header().Set("Retry-After", "1")
	WriteProblem(w, http.StatusServiceUnavailable, err.Error())
}
