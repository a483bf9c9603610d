package restore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"

	"waybill/internal/catalog"
)

// dress sets a file's metadata as far as it can, and says what it couldn't. The times are set by the handle that wrote, which then won't
// change them when it is closed.
func (o output) dress(e *catalog.Entry, m *manner) error {
	h := windows.Handle(o.f.Fd())
	return dress(h, e, m)
}

// dress sets the directory's own metadata.
func (h *handle) dress(e *catalog.Entry, m *manner) error {
	self, err := openAt(h.self.Fd(), "", windows.FILE_READ_ATTRIBUTES|windows.FILE_WRITE_ATTRIBUTES, windows.FILE_OPEN, 0)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(self)
	return dress(self, e, m)
}

// dress opens h once more where it takes more rights. What may make the file read-only comes last.
func dress(h windows.Handle, e *catalog.Entry, m *manner) error {
	n := ntfsOf(e)
	var errs []error
	if n.ea != nil {
		errs = append(errs, setEA(h, n.ea))
	}
	if n.reparse != nil && e.Kind != catalog.Symlink {
		if err := control(h, windows.FSCTL_SET_REPARSE_POINT, n.reparse); err != nil {
			errs = append(errs, fmt.Errorf("its reparse point not set: %w", err))
		}
	}
	if n.acl != nil {
		errs = append(errs, setSecurity(h, n.acl, m.own))
	}
	if n.attrib&attribEncrypted != 0 {
		errs = append(errs, errors.New("it was encrypted by Windows (EFS), and is not any more"))
	}
	if err := basicFor(e, &n).set(h); err != nil {
		errs = append(errs, fmt.Errorf("times and attributes not set: %w", err))
	}
	return errors.Join(errs...)
}

// epoch is the seconds from 1601 to 1970.
const epoch = 11644473600

// basic is FILE_BASIC_INFO: times in 100 ns since 1601. What is zero is left as it is when it is set.
type basic struct {
	Created, Accessed, Written, Changed int64
	Attributes                          uint32
	_                                   uint32
}

func basicOf(h windows.Handle) (b basic, err error) {
	err = windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&b)), uint32(unsafe.Sizeof(b)))
	return b, err
}

func (b basic) set(h windows.Handle) error {
	return windows.SetFileInformationByHandle(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&b)), uint32(unsafe.Sizeof(b)))
}

// settable are the attributes that are set by name. Others need calls of their own, or come by themselves.
const settable = windows.FILE_ATTRIBUTE_READONLY | windows.FILE_ATTRIBUTE_HIDDEN | windows.FILE_ATTRIBUTE_SYSTEM | windows.FILE_ATTRIBUTE_ARCHIVE |
	windows.FILE_ATTRIBUTE_TEMPORARY | windows.FILE_ATTRIBUTE_NOT_CONTENT_INDEXED

// basicFor is what an entry wants. One of another system has no attributes: it is read-only when its owner may not write it.
func basicFor(e *catalog.Entry, n *ntfs) basic {
	b := basic{Created: int64(n.crtime), Written: (e.Mtime.Sec+epoch)*1e7 + int64(e.Mtime.Nsec/100), Attributes: n.attrib & settable}
	if !n.known && e.Mode&0o200 == 0 && e.Kind == catalog.File {
		b.Attributes = attribReadOnly
	}
	if b.Attributes == 0 {
		b.Attributes = windows.FILE_ATTRIBUTE_NORMAL
	}
	b.Written = max(b.Written, 1)
	b.Created = max(b.Created, 0)
	return b
}

// setSecurity sets a security descriptor: of its owner and group only what own allows, of what is audited what we may.
func setSecurity(h windows.Handle, acl []byte, own bool) error {
	acl = inheriting(acl)
	what, access := uint32(windows.DACL_SECURITY_INFORMATION), uint32(windows.WRITE_DAC)
	if own && has(acl, 4) && has(acl, 8) {
		what |= windows.OWNER_SECURITY_INFORMATION | windows.GROUP_SECURITY_INFORMATION
		access |= windows.WRITE_OWNER
	}
	if own && control16(acl)&saclPresent != 0 {
		if done, err := setParts(h, acl, what|windows.SACL_SECURITY_INFORMATION, access|windows.ACCESS_SYSTEM_SECURITY); done {
			return err
		}
	}
	_, err := setParts(h, acl, what, access)
	return err
}

// setParts sets parts of a security descriptor. It is not done when the right to do so can't be had.
func setParts(h windows.Handle, acl []byte, what, access uint32) (done bool, err error) {
	f, err := openAt(uintptr(h), "", access, windows.FILE_OPEN, 0)
	if err != nil {
		return false, fmt.Errorf("security descriptor not set: %w", err)
	}
	defer windows.CloseHandle(f)
	err = windows.SetKernelObjectSecurity(f, windows.SECURITY_INFORMATION(what), (*windows.SECURITY_DESCRIPTOR)(unsafe.Pointer(&acl[0])))
	if err != nil {
		return true, fmt.Errorf("security descriptor not set: %w", err)
	}
	return true, nil
}

// has tells whether a security descriptor has the part that its head has the offset of at a place.
func has(descriptor []byte, at int) bool { return binary.LittleEndian.Uint32(descriptor[at:]) != 0 }

// inheriting copies a security descriptor and asks that what was inherited stays known as such.
func inheriting(acl []byte) []byte {
	acl = append([]byte(nil), acl...)
	c := control16(acl)
	if c&daclInherited != 0 {
		c |= daclInheritAgain
	}
	if c&saclInherited != 0 {
		c |= saclInheritAgain
	}
	acl[2], acl[3] = byte(c), byte(c>>8)
	return acl
}

var ntSetEaFile = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtSetEaFile")

func setEA(h windows.Handle, ea []byte) error {
	f, err := openAt(uintptr(h), "", windows.FILE_WRITE_EA, windows.FILE_OPEN, 0)
	if err != nil {
		return fmt.Errorf("extended attributes not set: %w", err)
	}
	defer windows.CloseHandle(f)
	var iosb windows.IO_STATUS_BLOCK
	status, _, _ := ntSetEaFile.Call(uintptr(f), uintptr(unsafe.Pointer(&iosb)), uintptr(unsafe.Pointer(&ea[0])), uintptr(len(ea)))
	if uint32(status) != 0 {
		return fmt.Errorf("extended attributes not set: %w", windows.NTStatus(uint32(status)).Errno())
	}
	return nil
}
