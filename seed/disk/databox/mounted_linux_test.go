package databox

import (
	"slices"
	"testing"

	"waybill/internal/mountinfo"
)

func TestSources(t *testing.T) {
	all := []mountinfo.Mount{{Path: "/", System: "ext4", Source: "/dev/sda1"}, {Path: "/mnt/box", System: "cifs", Source: "//10.0.0.5/acc1_BlockBlob"},
		{Path: "/mnt/my box", System: "nfs4", Source: "10.0.0.5:/acc1_BlockBlob"}, {Path: "/mnt/disk", System: "ext4", Source: "/dev/acc1_BlockBlob"}}
	for dir, want := range map[string][]string{"/mnt/box": {"//10.0.0.5/acc1_BlockBlob"}, "/mnt/my box": {"10.0.0.5:/acc1_BlockBlob"}, "/": nil, "/mnt/disk": nil} {
		if got := sources(all, dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q", dir, got)
		}
	}
}
