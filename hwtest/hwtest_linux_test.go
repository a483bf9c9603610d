package hwtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/fault"
)

const mib = 1 << 20

// isEmpty tells that a test left nothing behind.
func isEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}

func TestDisks(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults fault.Faults
		o      Options
		reason string // words of one; empty for a disk that is fit
		remark string
	}{
		{name: "whole in full", faults: fault.Faults{Size: 12 * mib}},
		{name: "whole, quick", faults: fault.Faults{Size: 12 * mib}, o: Options{Quick: true, Pack: mib}},
		{name: "wraps in full", faults: fault.Faults{Size: 12 * mib, RealSize: 4 * mib}, reason: "it holds about 4.2 MB"},
		{name: "wraps, quick", faults: fault.Faults{Size: 12 * mib, RealSize: 2 * mib}, o: Options{Quick: true}, reason: "smaller than it says"},
		{name: "lies", faults: fault.Faults{Size: 12 * mib, Lie: fault.Part("/000000", 3*mib, 3*mib+1)}, reason: "4.1 kB came back changed, first at 3.1 MB"},
		{name: "lies, quick", faults: fault.Faults{Size: 12 * mib, Lie: fault.Everywhere}, o: Options{Quick: true}, reason: "came back changed"},
		{name: "can't be read", faults: fault.Faults{Size: 12 * mib, FailReads: fault.Part("/000001", mib, mib+1)}, reason: "can't be read back, first at 5.2 MB"},
		{name: "can't be read here and there", faults: fault.Faults{Size: 12 * mib, FailReads: fault.Part("/0000", 8*mib, 12*mib)},
			o: Options{Quick: true}, reason: "can't be read back"},
		{name: "can't be written", faults: fault.Faults{Size: 12 * mib, FailWrites: fault.Part("/0000", 2*mib, 3*mib)}, reason: "can't be written at 2.1 MB: "},
		{name: "can't be written, quick", faults: fault.Faults{Size: 12 * mib, FailWrites: fault.Part("/0000", 8*mib, 12*mib)},
			o: Options{Quick: true}, reason: "can't be written at "},
		{name: "can't be synced", faults: fault.Faults{Size: 12 * mib, FailSyncs: fault.Everywhere}, reason: "can't be made durable"},
		{name: "is slow", faults: fault.Faults{Size: 12 * mib, WriteRate: 8 * mib}, o: Options{Quick: true}, remark: "writing is slow"},
		{name: "no room for a pack", faults: fault.Faults{Size: 12 * mib}, o: Options{Quick: true, Pack: 512 * mib}, reason: "no room for one pack"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := fault.MountTest(t, test.faults)
			test.o.fileSize = 4 * mib
			r, err := Run(t.Context(), d.Dir, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if test.reason == "" && r.Err() != nil {
				t.Error(r.Err())
			}
			if test.reason != "" && (r.Verdict != Unfit || !says(r.Reasons, test.reason)) {
				t.Errorf("it is %s: %q, want %q", r.Verdict, r.Reasons, test.reason)
			}
			if !says(r.Remarks, test.remark) {
				t.Errorf("remarks %q, want %q", r.Remarks, test.remark)
			}
			if c := r.Capacity; r.Err() == nil && (c.Good != c.Tested || c.Tested < 3*mib || c.FirstBad != -1) {
				t.Errorf("capacity %+v of a disk that is fit", c)
			}
			isEmpty(t, d.Dir)
		})
	}
}

// A disk that is pulled out is unfit. What is on it is removed by the next test.
func TestGone(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{Size: 12 * mib})
	d.Set(fault.Faults{Size: 12 * mib, FailWrites: func(name string, off, n int64) bool {
		if strings.Contains(name, "/0000") && off >= 2*mib {
			d.Set(fault.Faults{Gone: true})
		}
		return false
	}})
	r, err := Run(t.Context(), d.Dir, Options{})
	if err != nil || r.Verdict != Unfit || !says(r.Remarks, "could not be removed") {
		t.Fatalf("of a disk that went: %+v, %v", r, err)
	}
	d.Set(fault.Faults{Size: 12 * mib})
	if entries, err := os.ReadDir(d.Dir); err != nil || len(entries) != 1 {
		t.Fatalf("left are %v, %v", entries, err)
	}
	if _, err := Run(t.Context(), d.Dir, Options{Quick: true}); err != nil {
		t.Fatal(err)
	}
	isEmpty(t, d.Dir)
}

func TestInterrupted(t *testing.T) {
	for _, quick := range []bool{false, true} {
		d := fault.MountTest(t, fault.Faults{Size: 12 * mib})
		ctx, cancel := context.WithCancel(t.Context())
		d.Set(fault.Faults{Size: 12 * mib, FailWrites: func(_ string, off, _ int64) bool {
			if off >= 2*mib {
				cancel()
			}
			return false
		}})
		if _, err := Run(ctx, d.Dir, Options{Quick: quick}); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
		isEmpty(t, d.Dir)
	}
}

func TestSystem(t *testing.T) {
	if _, err := Run(t.Context(), "/", Options{}); !errors.Is(err, ErrSystem) {
		t.Errorf("the full test of /: %v", err)
	}
	if r, err := Glance(t.Context(), "/", mib); r != nil || err != nil {
		t.Errorf("a glance at /: %v, %v", r, err)
	}
}

// loop makes a device of a file on the disk.
func loop(t *testing.T, d *fault.Disk, size int64) (device string, detach func()) {
	t.Helper()
	image := filepath.Join(d.Dir, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--show", "-f", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices here: %v, %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	return device, func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("detaching %s: %v, %s", device, err, out)
		}
	}
}

// A device is destroyed only if its serial number is typed.
func TestDeviceIsConfirmed(t *testing.T) {
	d := fault.MountTest(t, fault.Faults{})
	device, detach := loop(t, d, mib)
	defer detach()
	if _, err := RunDevice(t.Context(), device, Options{Serial: "S123"}); !errors.Is(err, ErrSerial) {
		t.Errorf("with another's serial number: %v", err)
	}
	identity, err := identityOfDevice(device)
	if err != nil || identity.Bus != "loop" || identity.Size != mib {
		t.Errorf("the device is %+v, %v", identity, err)
	}
	release, err := claim(device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RunDevice(t.Context(), device, Options{Serial: identity.Confirmation()}); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	release()
	image := filepath.Join(d.Dir, "image")
	if b, err := os.ReadFile(image); err != nil || strings.Trim(string(b), "\x00") != "" {
		t.Errorf("something was written to it, %v", err)
	}
	if _, err := RunDevice(t.Context(), image, Options{Serial: "image-0"}); err == nil {
		t.Error("a file passes for a device")
	}
}

func TestDeviceWraps(t *testing.T) {
	for _, test := range []struct {
		name  string
		o     Options
		size  int64
		moved int64 // at least
	}{{"full", Options{}, 6 * mib, 2 * mib}, {"quick", Options{Quick: true}, 64 * mib, spot}} {
		t.Run(test.name, func(t *testing.T) {
			d := fault.MountTest(t, fault.Faults{WrapAt: 4 * mib})
			if test.o.Quick {
				d.Set(fault.Faults{WrapAt: 32 * mib})
			}
			device, detach := loop(t, d, test.size)
			defer detach()
			identity, err := identityOfDevice(device)
			if err != nil {
				t.Fatal(err)
			}
			test.o.Serial = identity.Confirmation()
			r, err := RunDevice(t.Context(), device, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if want := d.Faults().WrapAt; r.Capacity.Moved < test.moved || r.Capacity.Real != want {
				t.Errorf("counterfeit of %d: %+v, %q", want, r.Capacity, r.Reasons)
			}
		})
	}
}

// describe is tried on parts of real trees.
func TestDescribe(t *testing.T) {
	const usb = "sys/devices/pci0000:00/0000:00:14.0/usb2/2-1"
	const disk = usb + "/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb"
	const nvme = "sys/devices/pci0000:00/0000:00:06.0/0000:01:00.0"
	root := t.TempDir()
	for name, content := range map[string]string{
		usb + "/serial": "ABC123\n", usb + "/speed": "5000\n", disk + "/size": "15628053168\n", disk + "/dev": "8:16\n", disk + "/queue/rotational": "1\n",
		disk + "/queue/write_cache": "write back\n", disk + "/sdb1/partition": "1\n", disk + "/sdb1/dev": "8:17\n",
		disk + "/device/model": "Expansion HDD   \n", disk + "/device/vendor": "Seagate \n",
		"run/udev/data/b8:16":        "S:disk/by-id/x\nE:ID_SERIAL_SHORT=NAAB\n",
		nvme + "/current_link_speed": "8.0 GT/s PCIe\n", nvme + "/current_link_width": "4\n",
		nvme + "/nvme/nvme0/nvme0n1/size": "1000\n", nvme + "/nvme/nvme0/nvme0n1/queue/rotational": "0\n", nvme + "/nvme/nvme0/nvme0n1/dev": "259:0\n",
		nvme + "/nvme/nvme0/nvme0n1/device/model": "Fast\n", nvme + "/nvme/nvme0/nvme0n1/device/serial": "S5\n",
		"sys/devices/virtual/block/dm-0/size": "900\n",
	} {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"sys/dev/block/8:17": disk + "/sdb1", "sys/dev/block/253:0": "sys/devices/virtual/block/dm-0",
		"sys/devices/virtual/block/dm-0/slaves/nvme0n1": nvme + "/nvme/nvme0/nvme0n1"} {
		link := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o777), os.Symlink(filepath.Join(root, to), link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		dev  uint64
		want Device
	}{
		{"partition behind a USB bridge", 8<<8 | 17, Device{"sdb", "Seagate Expansion HDD", "NAAB", "usb", "5000 Mbit/s", true, 8001563222016, "write back", "/dev/sdb"}},
		{"mapping over NVMe", 253 << 8, Device{"nvme0n1", "Fast", "S5", "nvme", "8.0 GT/s PCIe x4", false, 512000, "", "/dev/nvme0n1"}},
		{"unknown", 99 << 8, Device{}},
	} {
		if got, err := describe(root, test.dev); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}
