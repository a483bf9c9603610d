package hwtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fileSystem describes the volume that path is on.
func fileSystem(path string) (FileSystem, error) {
	volume, err := volumeOf(path)
	if err != nil {
		return FileSystem{}, err
	}
	p, err := windows.UTF16PtrFromString(volume)
	if err != nil {
		return FileSystem{}, err
	}
	var name [windows.MAX_PATH + 1]uint16
	var serial, longest, flags uint32
	if err := windows.GetVolumeInformation(p, nil, 0, &serial, &longest, &flags, &name[0], uint32(len(name))); err != nil {
		return FileSystem{}, &os.PathError{Op: "GetVolumeInformation", Path: volume, Err: err}
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, nil); err != nil {
		return FileSystem{}, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: volume, Err: err}
	}
	s := FileSystem{Type: windows.UTF16ToString(name[:]), Source: volume, Size: int64(total), Free: int64(free), FreeFiles: -1,
		ReadOnly: flags&windows.FILE_READ_ONLY_VOLUME != 0}
	s.known()
	system, err := windows.GetSystemWindowsDirectory()
	if err != nil {
		return s, err
	}
	s.System = strings.EqualFold(volume, filepath.VolumeName(system)+`\`)
	return s, nil
}

// volumeOf is where the volume is mounted that holds path: `E:\`.
func volumeOf(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	p, err := windows.UTF16PtrFromString(abs)
	if err != nil {
		return "", err
	}
	var volume [windows.MAX_PATH + 1]uint16
	if err := windows.GetVolumePathName(p, &volume[0], uint32(len(volume))); err != nil {
		return "", &os.PathError{Op: "GetVolumePathName", Path: abs, Err: err}
	}
	return windows.UTF16ToString(volume[:]), nil
}

// Identity tells what the device is that holds path. Its zero value stands for what is on no device that can be asked.
func Identity(path string) (Device, error) {
	volume, err := volumeOf(path)
	if err != nil {
		return Device{}, err
	}
	p, err := windows.UTF16PtrFromString(volume)
	if err != nil {
		return Device{}, err
	}
	var name [64]uint16 // \\?\Volume{GUID}\ has 49 characters
	if err := windows.GetVolumeNameForVolumeMountPoint(p, &name[0], uint32(len(name))); err != nil {
		return Device{}, nil // the network
	}
	h, err := windows.CreateFile(trimmed(name[:]), 0, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		return Device{}, &os.PathError{Op: "open", Path: volume, Err: err}
	}
	defer windows.CloseHandle(h)
	return describe(h, volume)
}

// trimmed is a volume's name without the backslash at its end, which names the device instead of its root.
func trimmed(name []uint16) *uint16 {
	for i, c := range name {
		if c == 0 && i > 0 {
			name[i-1] = 0
			break
		}
	}
	return &name[0]
}

// The requests of winioctl.h: IOCTL_DISK_GET_LENGTH_INFO, IOCTL_STORAGE_QUERY_PROPERTY and its properties.
const (
	lengthInfo     = 0x0007405c
	queryProperty  = 0x002d1400
	deviceProperty = 0 // StorageDeviceProperty
	seekProperty   = 7 // StorageDeviceSeekPenaltyProperty
)

// describe asks the device for its STORAGE_DEVICE_DESCRIPTOR:
//
//	 0 Version  4 Size  8 DeviceType  9 DeviceTypeModifier  10 RemovableMedia  11 CommandQueueing
//	12 VendorIdOffset  16 ProductIdOffset  20 ProductRevisionOffset  24 SerialNumberOffset  28 BusType ...
func describe(h windows.Handle, volume string) (Device, error) {
	b, err := property(h, deviceProperty)
	if err != nil || len(b) < 32 {
		return Device{}, nil // it isn't known
	}
	at := func(i int) string { return textAt(b, binary.LittleEndian.Uint32(b[i:])) }
	d := Device{Name: strings.TrimSuffix(volume, `\`), Model: strings.TrimSpace(at(12) + " " + at(16)), Serial: at(24),
		Bus: bus(binary.LittleEndian.Uint32(b[28:]))}
	if seek, err := property(h, seekProperty); err == nil && len(seek) >= 9 {
		d.Rotational = seek[8] != 0
	}
	var length int64
	var n uint32
	if windows.DeviceIoControl(h, lengthInfo, nil, 0, (*byte)(unsafe.Pointer(&length)), 8, &n, nil) == nil {
		d.Size = length // needs the right to read the volume
	}
	return d, nil
}

func property(h windows.Handle, id uint32) ([]byte, error) {
	query := struct{ id, kind, more uint32 }{id: id} // STORAGE_PROPERTY_QUERY, PropertyStandardQuery
	out := make([]byte, 1024)
	var n uint32
	err := windows.DeviceIoControl(h, queryProperty, (*byte)(unsafe.Pointer(&query)), uint32(unsafe.Sizeof(query)), &out[0], uint32(len(out)), &n, nil)
	return out[:min(int(n), len(out))], err
}

// textAt is the zero-terminated text at an offset; 0 says that there is none.
func textAt(b []byte, offset uint32) string {
	if offset == 0 || int64(offset) >= int64(len(b)) {
		return ""
	}
	s, _, _ := strings.Cut(string(b[offset:]), "\x00")
	return strings.TrimSpace(s)
}

// bus names a STORAGE_BUS_TYPE.
func bus(n uint32) string {
	names := map[uint32]string{1: "scsi", 3: "ata", 7: "usb", 8: "raid", 9: "iscsi", 10: "sas", 11: "ata", 12: "sd", 13: "mmc", 14: "virtual", 15: "file", 17: "nvme"}
	return names[n]
}

func identityOfDevice(string) (Device, error) { return Device{}, notHere("testing devices") }

func claim(string) (func(), error) { return nil, notHere("testing devices") }

// reserve is not supported: Windows writes zeros up to each place of a file.
func reserve(string, int64, FileSystem) (int64, error) { return 0, notHere("setting room aside") }

func notHere(what string) error { return fmt.Errorf("%s on Windows: %w", what, errors.ErrUnsupported) }

// openUncached opens a file past the system's cache: FILE_FLAG_NO_BUFFERING.
func openUncached(name string, flags int, direct bool) (*os.File, error) {
	if direct {
		flags |= windows.O_FILE_FLAG_NO_BUFFERING | windows.O_FILE_FLAG_WRITE_THROUGH
	}
	return os.OpenFile(name, flags, 0o600)
}

// notDirect tells that a file can't be transferred to or from directly.
func notDirect(err error) bool { return errors.Is(err, windows.ERROR_INVALID_PARAMETER) }

// writeOut waits until all that was written is on the medium.
func writeOut(f *os.File, _, _ int64) error { return f.Sync() }

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// heldName is a file that is open as long as its directory is in use: nobody else can remove it then.
const heldName = "held"

// hold marks a directory as in use until release, or this process's end.
func hold(dir string) (release func()) {
	f, err := os.Create(filepath.Join(dir, heldName))
	if err != nil {
		return func() {}
	}
	return func() { f.Close() }
}

// abandoned tells whether nobody holds a directory: whether the file can be opened for nobody else.
func abandoned(dir string) bool {
	p, err := windows.UTF16PtrFromString(filepath.Join(dir, heldName))
	if err != nil {
		return false
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err == nil {
		windows.CloseHandle(h)
	}
	return err == nil
}
