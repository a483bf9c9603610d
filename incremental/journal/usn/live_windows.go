package usn

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// OpenLive opens the journal of a volume in use, by its drive ("C:"), its path or its name of the form \\?\Volume{...}\. Without
// one the error is a *journal.Gap, as on other systems than Windows.
func OpenLive(volume string) (*Journal, error) {
	v, limited, err := openVolume(volume)
	if err != nil {
		return nil, gap(context.Background(), asGap(err))
	}
	j, err := newLive(v, fmt.Sprintf("%016x", v.serial), v.root, v.wide, limited)
	if err != nil {
		return nil, gap(context.Background(), err)
	}
	return j, nil
}

// Create makes a journal on a volume that has none. It grows to size bytes, and then loses delta at a time; a delta of 0 is chosen. Who may
// not do that, or is on another system than Windows, gets a *journal.Gap.
func Create(volume string, size, delta int64) error { return alter(volume, size, delta, false) }

// Resize changes a journal's size: see Create. A smaller one loses its oldest records by and by.
func Resize(volume string, size, delta int64) error { return alter(volume, size, delta, true) }

func alter(volume string, size, delta int64, exists bool) error {
	v, limited, err := openVolume(volume)
	if err != nil {
		return asGap(err)
	}
	defer v.close()
	if limited {
		return gapOf(errAccessDenied)
	}
	return create(v, size, delta, exists)
}

// volume implements system.
type volume struct {
	device windows.Handle // \\.\C:
	top    windows.Handle // its root directory
	root   ID
	serial uint64
	wide   bool
}

const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// openVolume opens a volume with the privileges of an administrator, or with fewer.
func openVolume(name string) (v *volume, limited bool, err error) {
	device, root, err := paths(name)
	if err != nil {
		return nil, false, err
	}
	v = &volume{device: windows.InvalidHandle, top: windows.InvalidHandle}
	if v.top, err = open(root, windows.FILE_READ_ATTRIBUTES); err == nil {
		v.device, err = open(device, windows.GENERIC_READ)
		if errors.Is(err, winError(errAccessDenied)) {
			limited = true
			v.device, err = open(device, windows.FILE_TRAVERSE)
		}
	}
	if err == nil {
		err = v.identify()
	}
	if err != nil {
		return nil, false, errors.Join(err, v.close())
	}
	return v, limited, nil
}

// paths returns those of a volume as a device and of its root directory. Who asks for a network share is told that it has no journal.
func paths(name string) (device, root string, err error) {
	name = strings.TrimPrefix(filepath.FromSlash(strings.TrimPrefix(name, "/")), `\\.\`)
	letter := strings.TrimSuffix(name, `\`)
	if len(letter) == 2 && letter[1] == ':' {
		return `\\.\` + letter, letter + `\`, nil
	}
	if strings.HasPrefix(name, `\\`) && !strings.HasPrefix(name, `\\?\`) {
		return "", "", winError(errNotSupported) // a share of another machine
	}
	if !strings.HasPrefix(name, `\\?\Volume{`) {
		p, err := windows.UTF16PtrFromString(letter + `\`)
		if err != nil {
			return "", "", err
		}
		var b [windows.MAX_PATH]uint16
		if err := windows.GetVolumeNameForVolumeMountPoint(p, &b[0], uint32(len(b))); err != nil {
			return "", "", number(err)
		}
		letter = strings.TrimSuffix(windows.UTF16ToString(b[:]), `\`)
	}
	return letter, letter + `\`, nil
}

func open(path string, access uint32) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return windows.InvalidHandle, err
	}
	h, err := windows.CreateFile(p, access, shareAll, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	return h, number(err)
}

// identify asks for the volume's serial number and the root's id: FILE_ID_INFO. Before Windows 8 there is only the older form.
func (v *volume) identify() error {
	var name [64]uint16
	var serial uint32
	err := windows.GetVolumeInformationByHandle(v.top, nil, 0, &serial, nil, nil, &name[0], uint32(len(name)))
	if err != nil {
		return number(err)
	}
	v.serial, v.wide = uint64(serial), windows.UTF16ToString(name[:]) == "ReFS"
	var b [24]byte
	if windows.GetFileInformationByHandleEx(v.top, windows.FileIdInfo, &b[0], uint32(len(b))) == nil {
		v.serial, v.root = le64(b[:]), idOf(b[8:])
		return nil
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(v.top, &info); err != nil {
		return number(err)
	}
	v.root.Low = uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)
	return nil
}

func (v *volume) control(code uint32, in, out []byte) (int, error) {
	return control(v.device, code, in, out)
}

func (v *volume) close() error {
	var errs []error
	for _, h := range []windows.Handle{v.device, v.top} {
		if h != windows.InvalidHandle {
			errs = append(errs, windows.CloseHandle(h))
		}
	}
	return errors.Join(errs...)
}

// open opens by id: for that, the name is the id's bytes.
func (v *volume) open(id ID, wide bool) (opened, error) {
	b := id.bytes()
	if !wide {
		b = b[:8]
	}
	u := windows.NTUnicodeString{Length: uint16(len(b)), MaximumLength: uint16(len(b)), Buffer: (*uint16)(unsafe.Pointer(&b[0]))}
	oa := windows.OBJECT_ATTRIBUTES{RootDirectory: v.top, ObjectName: &u}
	oa.Length = uint32(unsafe.Sizeof(oa))
	var h windows.Handle
	var iosb windows.IO_STATUS_BLOCK
	const options = windows.FILE_OPEN_BY_FILE_ID | windows.FILE_OPEN_REPARSE_POINT | windows.FILE_OPEN_FOR_BACKUP_INTENT | windows.FILE_SYNCHRONOUS_IO_NONALERT
	err := windows.NtCreateFile(&h, windows.FILE_READ_ATTRIBUTES|windows.SYNCHRONIZE, &oa, &iosb, nil, 0, shareAll, windows.FILE_OPEN, options, 0, 0)
	if err != nil {
		return nil, number(err)
	}
	return found(h), nil
}

// found implements opened.
type found windows.Handle

func (f found) close() { windows.CloseHandle(windows.Handle(f)) }

func (f found) control(code uint32, in, out []byte) (int, error) {
	return control(windows.Handle(f), code, in, out)
}

func (f found) count() (int, error) {
	var info windows.ByHandleFileInformation
	err := windows.GetFileInformationByHandle(windows.Handle(f), &info)
	return int(info.NumberOfLinks), number(err)
}

func (f found) links(wide bool) ([]byte, error) {
	const hardLinks, hardLinksFullID = 46, 62
	class := uint32(hardLinks)
	if wide {
		class = hardLinksFullID
	}
	return grow(4<<10, func(b []byte) error {
		var iosb windows.IO_STATUS_BLOCK
		err := windows.NtQueryInformationFile(windows.Handle(f), &iosb, &b[0], uint32(len(b)), class)
		if err == windows.STATUS_BUFFER_OVERFLOW {
			return winError(errMoreData)
		}
		return number(err)
	})
}

func (f found) streams() ([]byte, error) {
	b, err := grow(4<<10, func(b []byte) error {
		return number(windows.GetFileInformationByHandleEx(windows.Handle(f), windows.FileStreamInfo, &b[0], uint32(len(b))))
	})
	if errors.Is(err, winError(errHandleEOF)) {
		return nil, nil // a directory without any
	}
	return b, err
}

func (f found) basic() ([]byte, error) {
	b := make([]byte, 40)
	return b, number(windows.GetFileInformationByHandleEx(windows.Handle(f), windows.FileBasicInfo, &b[0], uint32(len(b))))
}

// grow asks with ever more room for the answer.
func grow(n int, ask func([]byte) error) ([]byte, error) {
	for ; ; n *= 4 {
		b := make([]byte, n)
		err := ask(b)
		if errors.Is(err, winError(errMoreData)) && n < 4<<20 {
			continue
		}
		return b, err
	}
}

func control(h windows.Handle, code uint32, in, out []byte) (int, error) {
	var n uint32
	err := windows.DeviceIoControl(h, code, unsafe.SliceData(in), uint32(len(in)), unsafe.SliceData(out), uint32(len(out)), &n, nil)
	return int(n), number(err)
}

// number makes an error of package windows a winError.
func number(err error) error {
	if s, ok := errors.AsType[windows.NTStatus](err); ok {
		err = s.Errno()
	}
	if e, ok := errors.AsType[windows.Errno](err); ok {
		return winError(e)
	}
	return err
}
