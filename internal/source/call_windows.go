package source

import (
	"encoding/binary"
	"fmt"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"waybill/internal/privilege"
)

// Entries are opened by NtCreateFile, which alone of all calls takes a name relative to an open directory. It takes it as it is: names of
// any length, those of devices and those that end in a dot or a space.

const (
	lookAt   = windows.FILE_READ_ATTRIBUTES | windows.SYNCHRONIZE
	listIt   = lookAt | windows.FILE_LIST_DIRECTORY
	describe = lookAt | windows.READ_CONTROL | windows.FILE_READ_EA
	readIt   = windows.FILE_GENERIC_READ
	shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

	alone   = windows.FILE_OPEN_REPARSE_POINT // the entry itself, not what a reparse point leads to
	through = 0
)

// openAt opens what is called name in dir, dir itself when name is empty.
func openAt(dir windows.Handle, name []byte, access, options uint32) (windows.Handle, error) {
	u, err := unicode(name)
	if err != nil {
		return 0, err
	}
	oa := windows.OBJECT_ATTRIBUTES{RootDirectory: dir, ObjectName: u}
	oa.Length = uint32(unsafe.Sizeof(oa))
	var h windows.Handle
	var iosb windows.IO_STATUS_BLOCK
	options |= windows.FILE_SYNCHRONOUS_IO_NONALERT | windows.FILE_OPEN_FOR_BACKUP_INTENT
	err = windows.NtCreateFile(&h, access, &oa, &iosb, nil, 0, shareAll, windows.FILE_OPEN, options, 0, 0)
	if err != nil {
		return 0, errno(err)
	}
	return h, nil
}

// unicode makes a name, WTF-8, what the system takes. A name with a slash or backslash is none.
func unicode(name []byte) (*windows.NTUnicodeString, error) {
	for _, c := range name {
		if c == '/' || c == '\\' {
			return nil, windows.ERROR_INVALID_NAME
		}
	}
	u, err := syscall.UTF16FromString(string(name))
	if err != nil {
		return nil, err
	}
	if len(u) > 1<<15-1 {
		return nil, windows.ERROR_FILENAME_EXCED_RANGE
	}
	n := uint16(len(u)-1) * 2
	return &windows.NTUnicodeString{Length: n, MaximumLength: n + 2, Buffer: &u[0]}, nil
}

// errno turns a status into the error that package fs knows.
func errno(err error) error {
	if s, ok := err.(windows.NTStatus); ok {
		switch s {
		case windows.STATUS_NOT_A_DIRECTORY, windows.STATUS_FILE_IS_A_DIRECTORY:
			return ErrReplaced
		}
		return s.Errno()
	}
	return err
}

// A fileInfo is FILE_ALL_INFORMATION: all that is asked about a file in one call. The name at its end doesn't fit, and is not wanted.
type fileInfo struct {
	Created, Accessed, Written, Changed int64
	Attributes                          uint32
	_                                   uint32

	Allocated, Size int64
	Links           uint32
	DeletePending   bool
	Directory       bool
	_               uint16

	ID                                int64
	EASize, Access                    uint32
	Position                          int64
	Mode, Alignment, NameLength, name uint32

	Tag uint32 // of a reparse point; not of the structure
}

const (
	fileAllInformation = 18
	fileAllSize        = uint32(unsafe.Offsetof(fileInfo{}.Tag))
)

func (f *fileInfo) get(h windows.Handle) error {
	var iosb windows.IO_STATUS_BLOCK
	err := windows.NtQueryInformationFile(h, &iosb, (*byte)(unsafe.Pointer(f)), fileAllSize, fileAllInformation)
	if err != nil && err != windows.STATUS_BUFFER_OVERFLOW {
		return errno(err)
	}
	f.Tag = 0
	if f.Attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT == 0 {
		return nil
	}
	var tag struct{ Attributes, Tag uint32 }
	err = windows.GetFileInformationByHandleEx(h, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&tag)), uint32(unsafe.Sizeof(tag)))
	f.Tag = tag.Tag
	return err
}

// fileID is FILE_ID_INFO.
func fileID(h windows.Handle) (serial uint64, id [16]byte, err error) {
	var b [24]byte
	err = windows.GetFileInformationByHandleEx(h, windows.FileIdInfo, &b[0], uint32(len(b)))
	return binary.LittleEndian.Uint64(b[:]), [16]byte(b[8:]), err
}

// rights are what an administrator's process has to ask for to read everything. Without them what the user may read is read.
var rights = sync.OnceValue(func() (auditToo bool) {
	privilege.Enable("SeBackupPrivilege")
	return privilege.Enable("SeSecurityPrivilege") // the part of a security descriptor that says what is audited
})

var (
	advapi32                = windows.NewLazySystemDLL("advapi32.dll")
	getKernelObjectSecurity = advapi32.NewProc("GetKernelObjectSecurity")
)

// control asks a file system about an open file. Where there is more than out takes, n is its length and the error ERROR_MORE_DATA.
func control(h windows.Handle, code uint32, in, out []byte) (n int, err error) {
	var got uint32
	var p *byte
	if len(in) > 0 {
		p = &in[0]
	}
	err = windows.DeviceIoControl(h, code, p, uint32(len(in)), &out[0], uint32(len(out)), &got, nil)
	return int(got), err
}

func closeHandle(h windows.Handle) error {
	if err := windows.CloseHandle(h); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
