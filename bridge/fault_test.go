package bridge

import (
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	cluster      = *kfake.Cluster
	kmsgRequest  = kmsg.Request
	kmsgResponse = kmsg.Response
)

const produceKey = int16(kmsg.Produce)
