package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Files in the data directory. The others are kfake's.
const (
	metaName       = "meta.json"
	topicsName     = "topics.json"
	partitionsName = "partitions"
	offsetsName    = "limpet.offsets.json" // an object: topic → next offset of each partition
)

// ErrDataDirDamaged is returned by Start for a data directory with records and
// without the files that say whose they are. kfake would begin with empty
// topics and append to the files of the old ones.
var ErrDataDirDamaged = errors.New("data directory is damaged")

// offsets remembers the next offset of each partition across restarts. kfake
// finds it at the end of the partition's last file. When retention has removed
// them all, it would begin again at zero: consumers that have committed more
// would miss what is produced next, or be told to start anew.
//
// They are written before each pass of retention, so what a pass removes is
// known. Owned by one goroutine at a time.
type offsets struct {
	dir     string
	written map[string][]int64
}

// save writes the offsets of c's topics, if any has changed.
func (o *offsets) save(c *kfake.Cluster) error {
	topics, err := topicsOf(o.dir)
	if err != nil {
		return err
	}
	now := make(map[string][]int64, len(topics))
	for _, topic := range topics {
		infos := c.PartitionInfos(topic) // nil: deleted meanwhile
		if len(infos) == 0 {
			continue
		}
		next := make([]int64, len(infos))
		for _, p := range infos {
			next[p.Partition] = p.HighWatermark
		}
		now[topic] = next
	}
	if maps.EqualFunc(now, o.written, slices.Equal) {
		return nil
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(o.dir, offsetsName), data); err != nil {
		return err
	}
	o.written = now
	return nil
}

// topicsOf returns the names of the topics that kfake keeps in dir.
func topicsOf(dir string) ([]string, error) {
	var file struct {
		Topics []struct {
			Name string `json:"name"`
		} `json:"topics"`
	}
	data, err := os.ReadFile(filepath.Join(dir, topicsName))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", topicsName, err)
	}
	names := make([]string, len(file.Topics))
	for i, t := range file.Topics {
		names[i] = t.Name
	}
	return names, nil
}

// prepareDir is for a directory that kfake is about to read: it gives every
// partition without records the offset it had reached.
func prepareDir(dir string) error {
	if err := checkDir(dir); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, offsetsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var topics map[string][]int64
	if err := json.Unmarshal(data, &topics); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDataDirDamaged, offsetsName, err)
	}
	for topic, next := range topics {
		for partition, offset := range next {
			if offset <= 0 {
				continue
			}
			if err := holdOffset(partitionDir(dir, topic, partition), offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkDir fails with ErrDataDirDamaged when dir has partitions of topics that
// it does not know.
func checkDir(dir string) error {
	partitions, err := os.ReadDir(filepath.Join(dir, partitionsName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(partitions) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range []string{metaName, topicsName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%w: there are records, but %w; put the file back, or name an empty directory", ErrDataDirDamaged, err)
		}
	}
	return nil
}

func partitionDir(dir, topic string, partition int) string {
	return filepath.Join(dir, partitionsName, fmt.Sprintf("%s-%d", url.PathEscape(topic), partition))
}

// holdOffset lets a partition whose directory has no record go on at next: it
// leaves a batch of no records that ends just before. Kafka's logs have such
// batches too, where compaction emptied one. The first pass of retention takes
// it away.
func holdOffset(dir string, next int64) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the topic was deleted
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".dat") && beginsWithBatch(filepath.Join(dir, f.Name())) {
			return nil
		}
	}
	return replaceFile(filepath.Join(dir, fmt.Sprintf("%d.dat", next-1)), emptyBatch(next-1))
}

// A batch begins with its first offset (8 bytes), the length of what follows
// (4), leader epoch (4), magic (1) and a checksum (4) of all that follows that.
const (
	batchHead    = 8 + 4
	batchSummed  = batchHead + 4 + 1 + 4
	batchNothing = 61 // bytes of a batch without records
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginsWithBatch reports whether kfake will find a batch in a file. It takes
// for none what was cut off by the end of the process, and what cannot be read.
func beginsWithBatch(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var head [batchHead]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false
	}
	length := binary.BigEndian.Uint32(head[8:])
	if length < batchNothing-batchHead || length > maxRequest {
		return false
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(f, rest); err != nil {
		return false
	}
	const summed = batchSummed - batchHead
	return binary.BigEndian.Uint32(rest[summed-4:]) == crc32.Checksum(rest[summed:], castagnoli)
}

// emptyBatch takes up one offset and has no record. It is older than any
// retention.
func emptyBatch(offset int64) []byte {
	b := kmsg.RecordBatch{
		FirstOffset:   offset,
		Length:        batchNothing - batchHead,
		Magic:         2,
		ProducerID:    -1,
		ProducerEpoch: -1,
		FirstSequence: -1,
	}
	data := b.AppendTo(nil)
	binary.BigEndian.PutUint32(data[batchSummed-4:], crc32.Checksum(data[batchSummed:], castagnoli))
	return data
}

// replaceFile writes a file that is there whole or as it was before, however
// the process ends.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp" // kfake removes those that are left
	if err := os.WriteFile(tmp, data, 0o640); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
