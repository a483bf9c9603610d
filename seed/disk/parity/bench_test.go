package parity

import (
	"fmt"
	"io"
	"testing"

	"waybill/manifest"
)

// BenchmarkEncode is how fast members are encoded, by their bytes, on one core.
func BenchmarkEncode(b *testing.B) {
	for _, scheme := range []Scheme{{20, 1}, {20, 2}, {8, 4}} {
		b.Run(scheme.String(), func(b *testing.B) {
			h := &Head{Machine: machineID, Set: setID}
			data := make([][]byte, scheme.Data)
			for i := range data {
				data[i] = make([]byte, Window)
				for k := range data[i] {
					data[i][k] = byte(k * (i + 3) >> 3)
				}
				h.Members = append(h.Members, Member{i, 1, manifest.PackName(machineID, manifest.Sum(data[i][:9+i])), Window})
			}
			var out []io.Writer
			for j := range scheme.Shards {
				h.Shards, out = append(h.Shards, Shard{j, 1}), append(out, io.Discard)
			}
			b.SetBytes(Window * int64(scheme.Data))
			memory := NewBuffers(Window)
			for b.Loop() {
				e, err := NewEncoder(h, out, nil, memory)
				if err != nil {
					b.Fatal(err)
				}
				if err := e.Begin(0); err != nil {
					b.Fatal(err)
				}
				for i, p := range data {
					e.Add(i, 0, p)
				}
				e.End()
				e.Finish()
			}
		})
	}
}

// BenchmarkRebuild is how fast a lost pack is read, by its bytes: for each, all others of its group are read.
func BenchmarkRebuild(b *testing.B) {
	for _, scheme := range []Scheme{{20, 1}, {8, 1}, {8, 2}} {
		b.Run(fmt.Sprint(scheme), func(b *testing.B) {
			t := &testing.T{}
			f := newFleet(t, 1)
			var names []string
			for range scheme.Data {
				names = append(names, f.pack(1, 2*Window))
			}
			on := make([]int, scheme.Shards)
			for j := range on {
				on[j] = 1
			}
			f.protect(f.members(0, names...), on...)
			delete(f.disks[0].files, names[1])
			b.SetBytes(2 * Window)
			buf := make([]byte, 1<<20)
			for b.Loop() {
				s, err := Open(b.Context(), machineID, []Source{{"1", f.disks[0]}})
				if err != nil {
					b.Fatal(err)
				}
				for off := int64(0); off < 2*Window; off += 1 << 20 {
					if _, err := s.ReadAt(b.Context(), names[1], buf, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
