package hwtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Identity tells what the device is that holds path. Its zero value stands for what is on no device: memory, the network, FUSE.
func Identity(path string) (Device, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Device{}, err
	}
	dev := uint64(st.Sys().(*syscall.Stat_t).Dev)
	if unix.Major(dev) == 0 { // btrfs, overlays, FUSE: the mount table may know the device
		m, err := mountOf(path)
		if err != nil {
			return Device{}, err
		}
		st, err := os.Stat(m.Source)
		if err != nil || st.Mode()&os.ModeDevice == 0 || !filepath.IsAbs(m.Source) {
			return Device{}, nil
		}
		dev = uint64(st.Sys().(*syscall.Stat_t).Rdev)
	}
	return describe("/", dev)
}

// identityOfDevice is Identity of a block device, all of it.
func identityOfDevice(name string) (Device, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Device{}, err
	}
	if st.Mode()&os.ModeDevice == 0 || st.Mode()&os.ModeCharDevice != 0 {
		return Device{}, fmt.Errorf("%s is no block device", name)
	}
	dev := uint64(st.Sys().(*syscall.Stat_t).Rdev)
	if _, err := os.Stat(fmt.Sprintf("/sys/dev/block/%d:%d/partition", unix.Major(dev), unix.Minor(dev))); err == nil {
		return Device{}, fmt.Errorf("%s is a partition: name the device it is on", name)
	}
	d, err := describe("/", dev)
	d.path = name
	return d, err
}

// describe reads /sys, and what udev knows, below root.
func describe(root string, dev uint64) (Device, error) {
	number := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	dir, err := filepath.EvalSymlinks(filepath.Join(root, "sys/dev/block", number))
	if err != nil {
		return Device{}, nil // sysfs doesn't know it, or isn't there
	}
	dir = underlying(dir)
	d := Device{Name: filepath.Base(dir), Rotational: text(dir, "queue/rotational") == "1", Cache: text(dir, "queue/write_cache")}
	d.path = "/dev/" + d.Name
	sectors, _ := strconv.ParseInt(text(dir, "size"), 10, 64) // 0 if unknown
	d.Size = sectors * 512
	udev := udevOf(root, text(dir, "dev"))
	d.Model = first(text(dir, "device/model"), text(dir, "device/name"), strings.ReplaceAll(udev["ID_MODEL"], "_", " "), text(dir, "loop/backing_file"))
	if v := text(dir, "device/vendor"); v != "" && v != "ATA" && !strings.HasPrefix(v, "0x") {
		d.Model = strings.TrimSpace(v + " " + d.Model)
	}
	d.Serial = first(udev["ID_SERIAL_SHORT"], text(dir, "device/serial"), text(dir, "serial"), page80(dir))
	d.connect(root, dir)
	return d, nil
}

// underlying is the disk of a partition, and of a mapping over one device, such as an encrypted one.
func underlying(dir string) string {
	for range 8 { // so many layers nobody has
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
			dir = filepath.Dir(dir)
			continue
		}
		below, err := filepath.Glob(filepath.Join(dir, "slaves", "*"))
		if err != nil || len(below) != 1 {
			break
		}
		next, err := filepath.EvalSymlinks(below[0])
		if err != nil {
			break
		}
		dir = next
	}
	return dir
}

var (
	ataPort  = regexp.MustCompile(`/ata([0-9]+)/`)
	nvmeName = regexp.MustCompile(`^nvme[0-9]+n[0-9]+$`)
)

// connect finds the bus from the place that sysfs gives the device.
func (d *Device) connect(root, dir string) {
	switch {
	case nvmeName.MatchString(d.Name):
		d.Bus = "nvme"
		if speed := above(dir, "current_link_speed"); speed != "" {
			d.Link = speed + " x" + above(dir, "current_link_width")
		}
	case ataPort.MatchString(dir):
		d.Bus = "ata"
		port := ataPort.FindStringSubmatch(dir)[1]
		d.Link = text(root, "sys/class/ata_link/link"+port+"/sata_spd")
	case strings.Contains(dir, "/usb"):
		d.Bus = "usb"
		if speed := above(dir, "speed"); speed != "" {
			d.Link = speed + " Mbit/s"
		}
		d.Serial = first(d.Serial, above(dir, "serial"))
	case strings.HasPrefix(d.Name, "mmcblk"):
		d.Bus = "mmc"
	case strings.HasPrefix(d.Name, "vd"):
		d.Bus, d.Rotational = "virtio", false // whatever it says: it is made up
	case strings.HasPrefix(d.Name, "loop"):
		d.Bus, d.Rotational = "loop", false
	case strings.HasPrefix(d.Name, "sd"):
		d.Bus = "scsi"
	}
}

// above reads a file of the nearest directory that has it, from a device upwards.
func above(dir, name string) string {
	for ; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if s := text(dir, name); s != "" {
			return s
		}
	}
	return ""
}

// page80 is the serial number that SCSI devices tell: four bytes, then text.
func page80(dir string) string {
	if s := text(dir, "device/vpd_pg80"); len(s) > 4 {
		return strings.TrimSpace(s[4:])
	}
	return ""
}

// udevOf is what udev noted about a device, which knows the serial numbers behind USB bridges.
func udevOf(root, number string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text(root, "run/udev/data/b"+number)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "E:"), "="); ok {
			all[name] = value
		}
	}
	return all
}

// text is a small file's content without the space around it; empty if it can't be read. A zero byte ends nothing: it is dropped.
func text(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	if strings.HasSuffix(name, "vpd_pg80") {
		return string(b)
	}
	return strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", ""))
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
