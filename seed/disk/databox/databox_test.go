package databox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes directories, and files where the name doesn't end in a slash.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		at := filepath.Join(root, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil && strings.HasSuffix(name, "/") {
			err = os.MkdirAll(at, 0o755)
		} else if err == nil {
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var diskTree = []string{"disk/BlockBlob/", "disk/PageBlob/", "disk/AzureFile/", "disk/ManagedDisk/PremiumSSD/", "disk/DataBoxDiskImport/logs/",
	"disk/ReadMe.txt", "disk/BlockBlob/mine/deep/", "disk/BlockBlob/Hot/", "disk/System Volume Information/"}

func TestResolve(t *testing.T) {
	long := strings.Repeat("a", 80)
	for _, c := range []struct {
		name      string
		tree      []string
		path      string
		want      string // of Root; empty when refused
		kind      Kind
		container string
	}{
		{"plain", []string{"d/"}, "d", "d", Plain, ""},
		{"plain with files", []string{"d/label.json"}, "d", "d", Plain, ""},
		{"beside a lone BlockBlob", []string{"BlockBlob/", "d/"}, "d", "d", Plain, ""},
		{"one folder of a strange name", []string{"d/PageBlob/"}, "d", "d", Plain, ""},
		{"disk", diskTree, "disk", "disk/BlockBlob/waybill-1", Disk, "waybill-1"},
		{"disk of a blob account", []string{"disk/BlockBlob/", "disk/DataBoxDiskImport/"}, "disk", "disk/BlockBlob/waybill-1", Disk, "waybill-1"},
		{"disk without the tools", []string{"disk/BlockBlob/"}, "disk", "disk/BlockBlob/waybill-1", Disk, "waybill-1"},
		{"its BlockBlob", diskTree, "disk/BlockBlob", "disk/BlockBlob/waybill-1", Disk, "waybill-1"},
		{"a container", diskTree, "disk/BlockBlob/mine", "disk/BlockBlob/mine", Disk, "mine"},
		{"a container to be made", diskTree, "disk/BlockBlob/other", "disk/BlockBlob/other", Disk, "other"},
		{"below a container", diskTree, "disk/BlockBlob/mine/deep", "disk/BlockBlob/mine/deep", Disk, "mine"},
		{"a container of a lone BlockBlob", []string{"BlockBlob/mine/", "x/"}, "BlockBlob/mine", "BlockBlob/mine", Disk, "mine"},
		{"no container's name", diskTree, "disk/BlockBlob/Hot", "", "", ""},
		{"page blobs", diskTree, "disk/PageBlob", "", "", ""},
		{"files", diskTree, "disk/AzureFile", "", "", ""},
		{"the tools", diskTree, "disk/DataBoxDiskImport/logs", "", "", ""},
		{"a new folder at the root", append([]string{"disk/backup/"}, diskTree...), "disk/backup", "", "", ""},
		{"disk without BlockBlob", []string{"disk/PageBlob/", "disk/DataBoxDiskImport/"}, "disk", "", "", ""},
		{"upper case below", append([]string{"disk/BlockBlob/mine/Up/"}, diskTree...), "disk/BlockBlob/mine/Up", "", "", ""},
		{"too deep", append([]string{"disk/BlockBlob/mine/" + long + "/"}, diskTree...), "disk/BlockBlob/mine/" + long, "", "", ""},
		{"share", []string{"acc1_BlockBlob/"}, "acc1_BlockBlob", "acc1_BlockBlob/waybill-1", Share, "waybill-1"},
		{"share's container", []string{"acc1_BlockBlob/mine/"}, "acc1_BlockBlob/mine", "acc1_BlockBlob/mine", Share, "mine"},
		{"below it, deep", []string{"acc1_BlockBlob/mine/" + long + "/"}, "acc1_BlockBlob/mine/" + long, "acc1_BlockBlob/mine/" + long, Share, "mine"},
		{"share of page blobs", []string{"acc1_PageBlob/x/"}, "acc1_PageBlob/x", "", "", ""},
		{"share of files", []string{"acc1_AzFile/"}, "acc1_AzFile", "", "", ""},
		{"no account", []string{"My-Acc_BlockBlob/"}, "My-Acc_BlockBlob", "My-Acc_BlockBlob", Plain, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, c.tree...)
			p, err := Resolve(filepath.Join(root, c.path), "waybill-1")
			if c.want == "" {
				if !errors.Is(err, ErrRefused) {
					t.Fatalf("%+v, %v", p, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Root != filepath.Join(root, c.want) || p.Kind != c.kind || p.Container != c.container {
				t.Fatalf("%+v", p)
			}
			if err := p.Make(); err != nil {
				t.Fatal(err)
			}
			again, err := Resolve(p.Root, "another")
			if err != nil || again != p {
				t.Fatalf("again: %+v, %v", again, err)
			}
		})
	}
}

func TestResolveWithout(t *testing.T) {
	root := tree(t, diskTree...)
	if _, err := Resolve(filepath.Join(root, "none"), "waybill-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Resolve(filepath.Join(root, "disk"), "Way"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	link := filepath.Join(root, "link")
	if err := os.Symlink(filepath.Join(root, "disk"), link); err != nil {
		t.Skip("links can't be made here: ", err)
	}
	if p, err := Resolve(link, "waybill-1"); err != nil || p.Root != filepath.Join(root, "disk/BlockBlob/waybill-1") {
		t.Error(p, err)
	}
}

func TestTrees(t *testing.T) {
	root := tree(t, append([]string{"disk/BlockBlob/any/", "plain/"}, diskTree...)...)
	for path, want := range map[string]string{"disk": "any mine", "disk/BlockBlob": "any mine", "disk/BlockBlob/mine": "mine", "disk/BlockBlob/any": "any", "plain": ""} {
		all, err := Trees(filepath.Join(root, path))
		var names []string
		for _, p := range all {
			names = append(names, p.Container)
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %v, %v", path, all, err)
		}
	}
}

func TestCheck(t *testing.T) {
	disk := Place{Root: "/mnt/BlockBlob/waybill-0123abcd", Kind: Disk, Device: "/mnt", Container: "waybill-0123abcd"}
	share := Place{Root: "/mnt/waybill-0123abcd", Kind: Share, Device: "/mnt", Container: "waybill-0123abcd"}
	pack := "machines/00000000-0000-4000-8000-000000000001/packs/ab/" + strings.Repeat("a", 64)
	for _, c := range []struct {
		name        string
		size        int64
		disk, share bool
	}{
		{pack, 1<<32 - 1, true, true},
		{"label.json", 1, true, true},
		{"SHA256SUMS", 1, true, true},
		{"README.txt", 1, true, true},
		{".tmp-0001", 1, true, true},
		{"machines/README.txt", 1, false, false},
		{"Machines/x", 1, false, false},
		{"a//b", 1, false, false},
		{"", 1, false, false},
		{"ends.", 1, false, false},
		{"a b", 1, false, false},
		{"big", MaxBlob + 1, false, false},
		{pack + "/" + strings.Repeat("b", 103), 1, true, true},
		{pack + "/" + strings.Repeat("b", 108), 1, false, true},
		{strings.Repeat("b/", 512), 1, false, false},
		{strings.Repeat("b/", 254) + "b", 1, false, false},
		{strings.Repeat("b/", 600), 1, false, false},
	} {
		for p, want := range map[Place]bool{disk: c.disk, share: c.share, {Kind: Plain}: true} {
			if err := p.Check(c.name, c.size); (err == nil) != want || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %.40q of %d bytes: %v", p.Kind, c.name, c.size, err)
			}
		}
	}
	if CheckFiles(MaxFiles) != nil || !errors.Is(CheckFiles(MaxFiles+1), ErrRefused) {
		t.Error("CheckFiles")
	}
}

func TestCheckContainer(t *testing.T) {
	for name, want := range map[string]bool{"abc": true, "waybill-0123abcd": true, "a-1-b": true, strings.Repeat("a", 63): true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "Abc": false, "a--b": false, "-abc": false, "abc-": false, "a_b": false, "$root": false, "a.b": false, "täg": false} {
		if err := CheckContainer(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := ContainerFor("0123abcd-0000-4000-8000-000000000001"); got != "waybill-0123abcd" || CheckContainer(got) != nil {
		t.Error(got)
	}
}

func TestPackSize(t *testing.T) {
	const mib, tb = 1 << 20, 1_000_000_000_000
	for _, c := range []struct {
		total int64
		disks int
		want  int64
	}{
		{0, 0, 16 * mib},
		{64 * mib, 1, 16 * mib},
		{64 * 100 * mib, 1, 100 * mib},
		{64 * 100 * mib, 2, 50 * mib},
		{7 * tb, 1, 512 * mib},
		{20 * tb, 5, 512 * mib},
		{35 * tb, 5, 668 * mib},
		{100 * tb, 14, 1908 * mib},
		{1000 * tb, 140, 1<<32 - 1},
	} {
		got := PackSize(c.total, c.disks)
		if got != c.want {
			t.Errorf("%d bytes on %d: %d MiB and %d", c.total, c.disks, got/mib, got%mib)
		}
		if got < 1<<32-1 && c.total/got > MaxFiles/2 {
			t.Errorf("%d bytes: %d packs", c.total, c.total/got)
		}
	}
}
