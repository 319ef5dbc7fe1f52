package bridge

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ParseCompression reads none, snappy, lz4 or zstd, the compressions of
// batches that every Kafka since 2.1 knows.
func ParseCompression(word string) (kgo.CompressionCodec, error) {
	switch word {
	case "none":
		return kgo.NoCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	default:
		return kgo.NoCompression(), fmt.Errorf("compression %q: want none, snappy, lz4 or zstd", word)
	}
}
