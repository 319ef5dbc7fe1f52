package reactor

import (
	"strings"
	"testing"
)

func TestPlanDescriptors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cfg    Config
		nofile uint64
		cores  int
		want   descriptorPlan
		err    string
	}{
		{"defaults", Config{}, 20000, 2, descriptorPlan{loops: 2, maxConns: 18976, maxTable: 18976, lingerMax: 128}, ""},
		{"fits one table", Config{Tuning: Tuning{MaxConns: 15000}}, 20000, 2, descriptorPlan{loops: 2, maxConns: 15000, maxTable: 18976, lingerMax: 128}, ""},
		{"200,000 take a table per loop", Config{Tuning: Tuning{MaxConns: 200000}}, 20000, 2, descriptorPlan{perLoop: true, loops: 13, maxConns: 200000, maxTable: 18976, lingerMax: 128}, ""},
		{"a million", Config{Tuning: Tuning{MaxConns: 1000000}}, 20000, 2, descriptorPlan{perLoop: true, loops: 63, maxConns: 1000000, maxTable: 18976, lingerMax: 128}, ""},
		{"plenty of descriptors", Config{Tuning: Tuning{MaxConns: 1000000}}, 2000000, 16, descriptorPlan{loops: 16, maxConns: 1000000, maxTable: 1998976, lingerMax: 128}, ""},
		{"per loop without a number", Config{FDTables: PerLoopTables}, 20000, 2, descriptorPlan{perLoop: true, loops: 2, maxConns: 32258, maxTable: 18976, lingerMax: 128}, ""},
		{"small", Config{}, 256, 1, descriptorPlan{loops: 1, maxConns: 192, maxTable: 192, lingerMax: 8}, ""},
		{"many loops in one table", Config{Loops: 32}, 512, 2, descriptorPlan{loops: 32, maxConns: 328, maxTable: 328, lingerMax: 8}, ""},
		{"every table has something of every loop", Config{Tuning: Tuning{MaxConns: 5000}}, 256, 2, descriptorPlan{perLoop: true, loops: 256, maxConns: 5000}, "need"},
		{"a table per loop and small", Config{Tuning: Tuning{MaxConns: 5000}}, 512, 2, descriptorPlan{perLoop: true, loops: 15, maxConns: 5000, maxTable: 396, lingerMax: 8}, ""},
		{"more cores than gnet numbers", Config{}, 20000, 400, descriptorPlan{loops: 256, maxConns: 18800, maxTable: 18800, lingerMax: 128}, ""},
		{"too few for so many loops", Config{Loops: 64}, 256, 2, descriptorPlan{}, "at least 376"},
		{"shared and too many", Config{FDTables: SharedTable, Tuning: Tuning{MaxConns: 200000}}, 20000, 2, descriptorPlan{}, "raise it with ulimit -n"},
		{"too few loops", Config{Loops: 4, Tuning: Tuning{MaxConns: 200000}}, 20000, 2, descriptorPlan{}, "need 13 loops"},
		{"others need many", Config{ExtraDescriptors: 4096}, 20000, 2, descriptorPlan{loops: 2, maxConns: 15720, maxTable: 15720, lingerMax: 128}, ""},
		{"hopeless", Config{}, 100, 2, descriptorPlan{}, "at least 128"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := planDescriptors(&tc.cfg, tc.nofile, tc.cores)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			tc.want.limit = int(tc.nofile)
			if err != nil || got != tc.want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tc.want)
			}
		})
	}
}
