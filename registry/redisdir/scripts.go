package redisdir

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

// script runs on the server. Scripts are sent by their digest; a server that
// does not know one yet gets it in full.
type script struct {
	body   string
	digest string
}

func newScript(body string) *script {
	sum := sha1.Sum([]byte(body))
	return &script{body: body, digest: hex.EncodeToString(sum[:])}
}

func (s *script) call(c rueidis.Client, keys, args []string) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.digest).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

func (s *script) callInFull(c rueidis.Client, keys, args []string) rueidis.Completed {
	return c.B().Eval().Script(s.body).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

//go:embed lua/records.lua
var luaRecords string

//go:embed lua/put.lua
var luaPut string

//go:embed lua/drop.lua
var luaDrop string

//go:embed lua/enroll.lua
var luaEnroll string

//go:embed lua/lease.lua
var luaLease string

//go:embed lua/claim.lua
var luaClaim string

//go:embed lua/inbox.lua
var luaInbox string

var (
	scriptPut    = newScript(luaRecords + luaPut)
	scriptDrop   = newScript(luaRecords + luaDrop)
	scriptEnroll = newScript(luaEnroll)
	scriptLease  = newScript(luaLease)
	scriptClaim  = newScript(luaClaim)
	scriptInbox  = newScript(luaInbox)
)
