package pack

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var getSystemTimes = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetSystemTimes")

// processorTimes asks GetSystemTimes, whose kernel time contains the idle time.
func processorTimes() (idle, busy time.Duration) {
	var i, k, u windows.Filetime
	ok, _, _ := getSystemTimes.Call(uintptr(unsafe.Pointer(&i)), uintptr(unsafe.Pointer(&k)), uintptr(unsafe.Pointer(&u)))
	if ok == 0 {
		return 0, 0
	}
	span := func(f windows.Filetime) time.Duration {
		return time.Duration(int64(f.HighDateTime)<<32|int64(f.LowDateTime)) * 100
	}
	return span(i), span(k) + span(u) - span(i)
}
