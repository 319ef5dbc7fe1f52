package api

import (
	"fmt"
	"net/http"
)

// name returns a name from the request's path, or answers with what is wrong.
func name(w http.ResponseWriter, r *http.Request, key string) (string, bool) {
	text := r.PathValue(key)
	if text == "" || len(text) > maxName {
		WriteProblem(w, http.StatusBadRequest, fmt.Sprintf("%s: want 1 to %d bytes", key, maxName))
		return "", false
	}
	return text, true
}

// user answers GET /v1/users/{user}.
func (v *v1) user(w http.ResponseWriter, r *http.Request) {
	principal, ok := name(w, r, "user")
	if !ok {
		return
	}
	sessions, err := v.node.Sessions(r.Context(), principal)
	if err != nil {
		fail(w, err)
		return
	}
	if len(sessions) == 0 {
		WriteProblem(w, http.StatusNotFound, "the user "+principal+" has no session")
		return
	}
	WriteJSON(w, http.StatusOK, struct {
		Principal string    `json:"principal"`
		Sessions  []Session `json:"sessions"`
	}{principal, sessions})
}

// session answers GET /v1/sessions/{session}.
func (v *v1) session(w http.ResponseWriter, r *http.Request) {
	session, err := v.node.Session(r.Context(), r.PathValue("session"))
	if err != nil {
		fail(w, err)
		return
	}
	if session == nil {
		WriteProblem(w, http.StatusNotFound, "there is no such session on this node")
		return
	}
	WriteJSON(w, http.StatusOK, session)
}

// order carries out o and answers with what became of it; nobody there is 404.
func (v *v1) order(w http.ResponseWriter, r *http.Request, o Order) {
	pushed, err := v.node.Order(r.Context(), o)
	if err != nil {
		fail(w, err)
		return
	}
	if pushed.Result == "offline" {
		WriteProblem(w, http.StatusNotFound, o.To+" has no session")
		return
	}
	if pushed.Result == "full" {
		WriteProblem(w, http.StatusConflict, o.To+" is in too many groups, or the node has no room for the order")
		return
	}
	WriteJSON(w, http.StatusOK, pushed)
}

// endUser answers DELETE /v1/users/{user}.
func (v *v1) endUser(w http.ResponseWriter, r *http.Request) {
	if principal, ok := name(w, r, "user"); ok {
		v.order(w, r, Order{Do: "close", To: "user:" + principal})
	}
}

// endSession answers DELETE /v1/sessions/{session}.
func (v *v1) endSession(w http.ResponseWriter, r *http.Request) {
	v.order(w, r, Order{Do: "close", To: "session:" + r.PathValue("session")})
}

// join answers PUT /v1/groups/{group}/members/{user}.
func (v *v1) join(w http.ResponseWriter, r *http.Request) { v.member(w, r, "join") }

// leave answers DELETE /v1/groups/{group}/members/{user}.
func (v *v1) leave(w http.ResponseWriter, r *http.Request) { v.member(w, r, "leave") }

func (v *v1) member(w http.ResponseWriter, r *http.Request, do string) {
	group, ok := name(w, r, "group")
	if !ok {
		return
	}
	if principal, ok := name(w, r, "user"); ok {
		v.order(w, r, Order{Do: do, To: "user:" + principal, Group: group})
	}
}

// group answers GET /v1/groups/{group}.
func (v *v1) group(w http.ResponseWriter, r *http.Request) {
	text, ok := name(w, r, "group")
	if !ok {
		return
	}
	group, err := v.node.Group(r.Context(), text)
	if err != nil {
		fail(w, err)
		return
	}
	WriteJSON(w, http.StatusOK, group)
}

// nodes answers GET /v1/nodes.
func (v *v1) nodes(w http.ResponseWriter, r *http.Request) {
	nodes, err := v.node.Nodes(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	WriteJSON(w, http.StatusOK, struct {
		Nodes []Node `json:"nodes"`
	}{nodes})
}

// stats answers GET /v1/stats.
func (v *v1) stats(w http.ResponseWriter, _ *http.Request) {
	WriteJSON(w, http.StatusOK, v.node.Stats())
}
