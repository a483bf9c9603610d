package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"unsafe"

	"golang.org/x/sys/windows"
)

// nonblock is for systems with FIFOs in their file systems.
const nonblock = 0

// publish gives a finished file its name and never replaces another: a rename by handle, relative to the directory's
// handle, without FILE_RENAME_REPLACE_IF_EXISTS. FAT and exFAT know it, too.
func publish(root *os.Root, temp, name string) error {
	from, err := openForRename(root, temp)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(from)
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := rename(from, windows.Handle(dir.Fd()), path.Base(name)); err != nil {
		return &fs.PathError{Op: "publish", Path: name, Err: errno(err)}
	}
	return nil
}

// openForRename opens a file at the tree's root with the right to rename it, which os.Root doesn't ask for.
func openForRename(root *os.Root, temp string) (windows.Handle, error) {
	top, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer top.Close()
	object, err := windows.NewNTUnicodeString(temp)
	if err != nil {
		return 0, err
	}
	attributes := windows.OBJECT_ATTRIBUTES{RootDirectory: windows.Handle(top.Fd()), ObjectName: object, Attributes: windows.OBJ_DONT_REPARSE}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	var h windows.Handle
	var status windows.IO_STATUS_BLOCK
	err = windows.NtCreateFile(&h, windows.DELETE|windows.SYNCHRONIZE, &attributes, &status, nil, 0,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, windows.FILE_OPEN,
		windows.FILE_SYNCHRONOUS_IO_NONALERT|windows.FILE_NON_DIRECTORY_FILE, 0, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: temp, Err: errno(err)}
	}
	return h, nil
}

// rename is NtSetInformationFile(FileRenameInformation).
func rename(from, dir windows.Handle, name string) error {
	// FILE_RENAME_INFORMATION of ntifs.h, with room for any name of a tree
	var info struct {
		ReplaceIfExists uint32
		RootDirectory   windows.Handle
		FileNameLength  uint32
		FileName        [256]uint16
	}
	text, err := windows.UTF16FromString(name)
	if err != nil {
		return err
	}
	info.RootDirectory = dir
	info.FileNameLength = uint32(2 * (len(text) - 1)) // without the zero at its end
	copy(info.FileName[:], text)
	var status windows.IO_STATUS_BLOCK
	return windows.NtSetInformationFile(from, &status, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), windows.FileRenameInformation)
}

// errno turns the kernel's status into the error that package os knows.
func errno(err error) error {
	var status windows.NTStatus
	if errors.As(err, &status) {
		return status.Errno()
	}
	return err
}

// syncDir does nothing: NTFS journals its directories, and Windows lets no one flush them.
func syncDir(*os.Root, string) error { return nil }

// startWriting does nothing: Windows writes when it likes.
func startWriting(*os.File, int64, int64) {}

// settle flushes the file once more: on NTFS that writes the journal up to the rename.
func settle(f *os.File) error { return f.Sync() }

// lockAt is the byte that is locked, far behind any file's end, since Windows keeps others from reading what is locked.
const lockAt = 1 << 30

// lock waits for the only lock on a file. It ends with the handle, however the process ends.
func lock(f *os.File) error { return lockFile(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// tryLock takes the lock if it is free.
func tryLock(f *os.File) (bool, error) {
	err := lockFile(f, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

func lockFile(f *os.File, flags uint32) error {
	at := windows.Overlapped{OffsetHigh: lockAt}
	if err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at); err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func notDirectory(err error) bool { return errors.Is(err, windows.ERROR_DIRECTORY) }

func (d *Dir) free() (int64, error) {
	p, err := windows.UTF16PtrFromString(d.path)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, &fs.PathError{Op: "free space", Path: d.path, Err: err}
	}
	return int64(free), nil
}
