package privilege

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var adjustTokenPrivileges = windows.NewLazySystemDLL("advapi32.dll").NewProc("AdjustTokenPrivileges")

func enable(name string) bool {
	var token windows.Token
	if windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_ADJUST_PRIVILEGES|windows.TOKEN_QUERY, &token) != nil {
		return false
	}
	defer token.Close()
	p := windows.Tokenprivileges{PrivilegeCount: 1}
	p.Privileges[0].Attributes = windows.SE_PRIVILEGE_ENABLED
	u, err := windows.UTF16PtrFromString(name)
	if err != nil || windows.LookupPrivilegeValue(nil, u, &p.Privileges[0].Luid) != nil {
		return false
	}
	// The call succeeds without enabling what the token lacks; then the last error says so.
	ok, _, last := adjustTokenPrivileges.Call(uintptr(token), 0, uintptr(unsafe.Pointer(&p)), 0, 0, 0)
	return ok != 0 && last == windows.Errno(0)
}
