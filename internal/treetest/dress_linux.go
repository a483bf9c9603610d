package treetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dress gives an entry random metadata. What the system doesn't allow is left as it is.
func (d dice) dress(dir int, name string, kind uint32) error {
	for _, step := range []func(int, string, uint32) error{d.own, d.mode, d.attributes, d.time} {
		if err := step(dir, name, kind); err != nil && !refused(err) {
			return fmt.Errorf("metadata of %q: %w", name, err)
		}
	}
	return nil
}

// refused says whether the file system or our lack of privileges is the reason, which no test is to fail for.
func refused(err error) bool {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSPC, unix.EINVAL, unix.EMLINK, unix.EXDEV, unix.E2BIG, unix.ENODATA, unix.ERANGE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (d dice) own(dir int, name string, _ uint32) error {
	if os.Geteuid() != 0 || d.one(2) {
		return nil
	}
	id := func() int { return pick(d, 0, 1, 1000, 65534, 123456, -2) }
	return unix.Fchownat(dir, name, id(), id(), unix.AT_SYMLINK_NOFOLLOW)
}

func (d dice) mode(dir int, name string, kind uint32) error {
	if kind == unix.S_IFLNK || d.one(3) {
		return nil
	}
	mode := pick(d, 0o600, 0o644, 0o755, 0o444, 0o000, 0o4755, 0o2755, 0o1777, d.Uint32()&0o7777)
	if os.Geteuid() != 0 { // or we could not read it again
		mode |= 0o700
	}
	return unix.Fchmodat(dir, name, mode, 0)
}

func (d dice) time(dir int, name string, _ uint32) error {
	if d.one(4) {
		return nil
	}
	sec := pick(d, -1, 0, 1, -2_000_000_000, d.Int64N(1<<31), 1_700_000_000+d.Int64N(1e8), 4_102_444_800)
	mtime, err := unix.TimeToTimespec(time.Unix(sec, pick(d, 0, 1, 999_999_999, 500_000_000, d.Int64N(1e9))))
	if err != nil {
		return err // a 32-bit system
	}
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, mtime}, unix.AT_SYMLINK_NOFOLLOW)
}

// attributes sets, changes and removes extended attributes, POSIX ACLs among them.
func (d dice) attributes(dir int, name string, kind uint32) error {
	if !d.one(4) {
		return nil
	}
	path := procPath(dir, name)
	for range 1 + d.IntN(4) {
		attr, value := d.attribute(kind)
		var err error
		if d.one(6) {
			err = unix.Lremovexattr(path, attr)
		} else {
			err = unix.Lsetxattr(path, attr, value, 0)
		}
		if err != nil && !refused(err) {
			return fmt.Errorf("attribute %s: %w", attr, err)
		}
	}
	return nil
}

func (d dice) attribute(kind uint32) (name string, value []byte) {
	value = make([]byte, pick(d, 0, 1, 10, 100, 1000, 3000))
	d.fill(value)
	privileged := fmt.Sprintf("trusted.waybill%d", d.IntN(3))
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return privileged, value
	}
	switch d.IntN(6) {
	case 0:
		return privileged, value
	case 1:
		return "system.posix_acl_access", d.acl()
	case 2:
		return "system.posix_acl_default", d.acl() // refused on files
	case 3:
		// vfs_cap_data, version 2: cap_net_bind_service. It is lost by a change of owner afterwards, or by writing.
		return "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	return pick(d, "user.a", "user.b\xff", "user."+long("long", 200), fmt.Sprintf("user.%d", d.IntN(100))), value
}

// acl makes a POSIX ACL in the form of the attribute: version 2, then tag u16, permissions u16, id u32 for each entry, all little-endian.
func (d dice) acl() []byte {
	const owner, nobody = 0x01, 1<<32 - 1
	b := binary.LittleEndian.AppendUint32(nil, 2)
	add := func(tag uint16, id uint32) {
		may := uint16(d.IntN(8))
		if tag == owner {
			may = 7 // or users could not read it again
		}
		b = binary.LittleEndian.AppendUint16(b, tag)
		b = binary.LittleEndian.AppendUint16(b, may)
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	add(owner, nobody)
	add(0x02, 1+uint32(d.IntN(1000)))
	add(0x02, 2000+uint32(d.IntN(1000)))
	add(0x04, nobody) // owning group
	add(0x08, uint32(d.IntN(1000)))
	add(0x10, nobody) // mask
	add(0x20, nobody) // others
	return b
}

// procPath names an entry for calls that know no directory descriptors.
func procPath(dir int, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dir, name) }
