package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// maxReparse is the most a reparse point may hold (MAXIMUM_REPARSE_DATA_BUFFER_SIZE), with its head.
const maxReparse = 16<<10 + 24

// kept are the file attributes that are somebody's wish, or say what the file is. Those left out are the system's own notes.
const kept = windows.FILE_ATTRIBUTE_READONLY | windows.FILE_ATTRIBUTE_HIDDEN | windows.FILE_ATTRIBUTE_SYSTEM | windows.FILE_ATTRIBUTE_DIRECTORY |
	windows.FILE_ATTRIBUTE_ARCHIVE | windows.FILE_ATTRIBUTE_NORMAL | windows.FILE_ATTRIBUTE_TEMPORARY | windows.FILE_ATTRIBUTE_SPARSE_FILE |
	windows.FILE_ATTRIBUTE_REPARSE_POINT | windows.FILE_ATTRIBUTE_COMPRESSED | windows.FILE_ATTRIBUTE_NOT_CONTENT_INDEXED | windows.FILE_ATTRIBUTE_ENCRYPTED

// attributes returns a function that adds what Windows knows of an open file or directory as extended attributes, see [NTFSPrefix].
func (v *volume) attributes(h windows.Handle) func(add func(string, []byte)) error {
	return func(add func(string, []byte)) error {
		var info fileInfo
		if err := info.get(h); err != nil {
			return fmt.Errorf("read attributes: %w", err)
		}
		hidden := Served(info.Tag) // the reparse point is of no use without its filter
		if hidden {
			info.Attributes &^= windows.FILE_ATTRIBUTE_REPARSE_POINT
		}
		add(NTFSAttrib, binary.LittleEndian.AppendUint32(nil, info.Attributes&kept))
		add(NTFSCrtime, binary.LittleEndian.AppendUint64(nil, uint64(info.Created)))
		var problems error
		optional := func(name string, b []byte, err error) {
			if err != nil {
				problems = errors.Join(problems, fmt.Errorf("read attribute %q: %w", name, err))
			} else if len(b) > 0 {
				add(name, b)
			}
		}
		if v.flags&windows.FILE_PERSISTENT_ACLS != 0 {
			b, err := securityDescriptor(h)
			optional(NTFSACL, b, err)
		}
		if info.Attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
			b, err := reparsePoint(h)
			optional(NTFSReparse, b, err)
		} else if info.EASize > 0 {
			b, err := extended(h, info.EASize)
			optional(NTFSEA, b, err)
		}
		return problems
	}
}

// securityDescriptor reads as much of a security descriptor as h was opened for.
func securityDescriptor(h windows.Handle) ([]byte, error) {
	const whose = windows.OWNER_SECURITY_INFORMATION | windows.GROUP_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION
	if rights() && !noAudit.Load() {
		if b, err := security(h, whose|windows.SACL_SECURITY_INFORMATION); err == nil {
			return b, nil
		}
	}
	return security(h, whose)
}

func security(h windows.Handle, what uint32) ([]byte, error) {
	b := make([]byte, 512)
	for {
		var need uint32
		ok, _, err := getKernelObjectSecurity.Call(uintptr(h), uintptr(what), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&need)))
		switch {
		case ok != 0:
			if need > 0 && int(need) < len(b) {
				return b[:need], nil
			}
			return b[:(*windows.SECURITY_DESCRIPTOR)(unsafe.Pointer(&b[0])).Length()], nil
		case err != windows.ERROR_INSUFFICIENT_BUFFER || int(need) <= len(b):
			return nil, err
		}
		b = make([]byte, need)
	}
}

// reparsePoint reads a reparse point. The error is ERROR_NOT_A_REPARSE_POINT if it is none.
func reparsePoint(h windows.Handle) ([]byte, error) {
	b := make([]byte, maxReparse)
	n, err := control(h, windows.FSCTL_GET_REPARSE_POINT, nil, b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}

// extended reads what OS/2 called extended attributes. size is a hint: it counts them in another form.
func extended(h windows.Handle, size uint32) ([]byte, error) {
	b := make([]byte, 2*size+256)
	var iosb windows.IO_STATUS_BLOCK
	err := windows.NtQueryEaFile(h, &iosb, &b[0], uint32(len(b)), false, nil, 0, nil, true)
	if err == windows.STATUS_NO_EAS_ON_FILE {
		return nil, nil
	}
	if err != nil {
		return nil, errno(err)
	}
	return b[:min(int(iosb.Information), len(b))], nil
}
