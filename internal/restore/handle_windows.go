package restore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"

	"waybill/internal/catalog"
	"waybill/internal/privilege"
)

// What package os has no call for is done by NtCreateFile, which takes a name relative to an open directory, and with an empty name opens the
// same thing once more, with other rights.

const (
	shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	itself   = windows.FILE_OPEN_REPARSE_POINT | windows.FILE_SYNCHRONOUS_IO_NONALERT | windows.FILE_OPEN_FOR_BACKUP_INTENT
)

// openAt opens what is called name in a directory, and never what a link leads to.
func openAt(dir uintptr, name string, access, disposition, options uint32) (windows.Handle, error) {
	u, err := windows.NewNTUnicodeString(name)
	if err != nil {
		return 0, err
	}
	oa := windows.OBJECT_ATTRIBUTES{RootDirectory: windows.Handle(dir), ObjectName: u}
	oa.Length = uint32(unsafe.Sizeof(oa))
	var h windows.Handle
	var iosb windows.IO_STATUS_BLOCK
	err = windows.NtCreateFile(&h, access|windows.SYNCHRONIZE, &oa, &iosb, nil, 0, shareAll, disposition, options|itself, 0, 0)
	if err != nil {
		return 0, errno(err)
	}
	return h, nil
}

// errno turns a status into an error that package fs knows.
func errno(err error) error {
	if s, ok := err.(windows.NTStatus); ok {
		return s.Errno()
	}
	return err
}

// isRoot tells whether we may give files to others. It takes the rights that an administrator's process has to ask for.
func isRoot() bool {
	privilege.Enable("SeBackupPrivilege")
	privilege.Enable("SeSecurityPrivilege")
	return privilege.Enable("SeRestorePrivilege")
}

// localName refuses what the system can't name, or would take for something else.
func localName(name string) error {
	if local, err := filepath.Localize(name); err != nil || local != name {
		return errors.New("nothing can have this name on Windows")
	}
	return nil
}

// lstat looks at a name and follows no link. When it was made isn't told: that is restored, too, so it is not in the way of recognising what was.
func (h *handle) lstat(name string) (st stat, err error) {
	f, err := openAt(h.self.Fd(), name, windows.FILE_READ_ATTRIBUTES, windows.FILE_OPEN, 0)
	if err != nil {
		return st, fmt.Errorf("looking at it: %w", err)
	}
	defer windows.CloseHandle(f)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(f, &info); err != nil {
		return st, fmt.Errorf("looking at it: %w", err)
	}
	var tag struct{ attributes, tag uint32 }
	if info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		err = windows.GetFileInformationByHandleEx(f, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&tag)), uint32(unsafe.Sizeof(tag)))
		if err != nil {
			return st, fmt.Errorf("looking at it: %w", err)
		}
	}
	written := int64(info.LastWriteTime.HighDateTime)<<32 | int64(info.LastWriteTime.LowDateTime)
	st = stat{kind: kindOf(info.FileAttributes, tag.tag), size: int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
		mtime: catalog.Time{Sec: written/1e7 - epoch, Nsec: uint32(written%1e7) * 100}, born: catalog.Time{Sec: 1<<63 - 1}}
	st.changed = st.mtime
	return st, nil
}

func kindOf(attributes, tag uint32) catalog.Kind {
	switch {
	case tag == windows.IO_REPARSE_TAG_SYMLINK || tag == windows.IO_REPARSE_TAG_MOUNT_POINT:
		return catalog.Symlink
	case attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0:
		return catalog.Directory
	}
	return catalog.File
}

// begun is what has to be done to a file before there is data in it. Without it, it only takes more space.
func begun(o output, e *catalog.Entry) {
	n := ntfsOf(e)
	if n.attrib&attribSparse != 0 {
		o.control(windows.FSCTL_SET_SPARSE, nil)
	}
	if n.attrib&attribCompressed != 0 {
		const byDefault = 1 // COMPRESSION_FORMAT_DEFAULT
		o.control(windows.FSCTL_SET_COMPRESSION, []byte{byDefault, 0})
	}
}

func (o output) control(code uint32, in []byte) error {
	return control(windows.Handle(o.f.Fd()), code, in)
}

func control(h windows.Handle, code uint32, in []byte) error {
	var n uint32
	return windows.DeviceIoControl(h, code, unsafe.SliceData(in), uint32(len(in)), nil, 0, &n, nil)
}

// make makes a symbolic link, or whatever reparse point it was.
func (h *handle) make(name string, e *catalog.Entry, m *manner) error {
	if e.Kind != catalog.Symlink {
		return fmt.Errorf("restoring fifos, sockets and devices on Windows: %w", errors.ErrUnsupported)
	}
	n := ntfsOf(e)
	if n.reparse != nil {
		err := h.reparsePoint(name, e, &n, m)
		if _, undressed := err.(*metadataError); err == nil || undressed || errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return h.root.Symlink(filepath.FromSlash(string(e.Target)), name)
}

// reparsePoint makes a reparse point with its metadata, or leaves nothing.
func (h *handle) reparsePoint(name string, e *catalog.Entry, n *ntfs, m *manner) error {
	options := uint32(windows.FILE_NON_DIRECTORY_FILE)
	if n.attrib&attribDirectory != 0 {
		options = windows.FILE_DIRECTORY_FILE
	}
	made, err := openAt(h.self.Fd(), name, windows.FILE_WRITE_ATTRIBUTES|windows.FILE_WRITE_DATA|windows.DELETE, windows.FILE_CREATE, options)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(made)
	if err := control(made, windows.FSCTL_SET_REPARSE_POINT, n.reparse); err != nil {
		return errors.Join(fmt.Errorf("making a reparse point: %w", err), h.root.Remove(name))
	}
	if err := dress(made, e, m); err != nil {
		return &metadataError{err}
	}
	return nil
}

// publish gives a finished entry its name unless that exists; fs.ErrExist.
func (h *handle) publish(temp, name string) error {
	f, err := openAt(h.self.Fd(), temp, windows.DELETE, windows.FILE_OPEN, 0)
	if err != nil {
		return fmt.Errorf("giving it its name: %w", err)
	}
	defer windows.CloseHandle(f)
	u, err := windows.UTF16FromString(name)
	if err != nil {
		return err
	}
	// FILE_RENAME_INFORMATION
	info := struct {
		Replace bool
		Dir     windows.Handle
		Length  uint32
		Name    [windows.MAX_PATH]uint16
	}{Dir: windows.Handle(h.self.Fd()), Length: uint32(len(u)-1) * 2}
	if copy(info.Name[:], u) < len(u) {
		return windows.ERROR_FILENAME_EXCED_RANGE
	}
	var iosb windows.IO_STATUS_BLOCK
	err = windows.NtSetInformationFile(f, &iosb, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), windows.FileRenameInformation)
	if err != nil {
		return fmt.Errorf("giving it its name: %w", errno(err))
	}
	return nil
}

// replace gives a finished entry its name, and takes it from what has it, even if that is only to be read.
func (h *handle) replace(temp, name string) error {
	err := h.root.Rename(temp, name)
	if errors.Is(err, fs.ErrPermission) {
		if cerr := h.root.Chmod(name, 0o600); cerr == nil {
			err = h.root.Rename(temp, name)
		}
	}
	return err
}

// attach makes a file a stream of another one, or of a directory, which stays as it is otherwise.
func (h *handle) attach(temp, name, stream string) error {
	of, err := openAt(h.self.Fd(), name, windows.FILE_READ_ATTRIBUTES|windows.FILE_WRITE_ATTRIBUTES, windows.FILE_OPEN, 0)
	if err != nil {
		return fmt.Errorf("opening what the stream belongs to: %w", err)
	}
	defer windows.CloseHandle(of)
	was, err := basicOf(of)
	if err != nil {
		return err
	}
	if was.Attributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		writable := basic{Attributes: was.Attributes&^windows.FILE_ATTRIBUTE_READONLY | windows.FILE_ATTRIBUTE_NORMAL}
		if err := writable.set(of); err != nil {
			return err
		}
	}
	return errors.Join(h.copyStream(temp, name+":"+stream), was.set(of))
}

func (h *handle) copyStream(temp, to string) (err error) {
	src, err := h.root.Open(temp)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openAt(h.self.Fd(), to, windows.FILE_WRITE_DATA, windows.FILE_OVERWRITE_IF, windows.FILE_NON_DIRECTORY_FILE)
	if err != nil {
		return fmt.Errorf("making the stream: %w", err)
	}
	_, err = io.Copy(handleWriter{dst}, src)
	return errors.Join(err, windows.CloseHandle(dst))
}

type handleWriter struct{ h windows.Handle }

func (w handleWriter) Write(p []byte) (int, error) { return windows.Write(w.h, p) }
