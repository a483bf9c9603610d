package fanotify

import (
	"os"
	"strconv"
	"strings"
)

// Systemd is the service manager that runs an agent: sd_notify(3) tells it things, and it keeps descriptors from one agent to the next
// (FileDescriptorStoreMax= in systemd.service(5)). Where systemd keeps them, an agent may be stopped or killed and started again without a gap.
type Systemd struct {
	notify    string           // the socket's path, or @ and an abstract name; may be empty
	inherited map[string][]int // descriptors by name
}

// FromSystemd returns the service manager that the environment tells of; nil if none does. The descriptors it passes are taken then: call it once.
func FromSystemd(getenv func(string) string) *Systemd {
	s := &Systemd{notify: getenv("NOTIFY_SOCKET"), inherited: map[string][]int{}}
	if getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		const firstFD = 3 // SD_LISTEN_FDS_START
		n, _ := strconv.Atoi(getenv("LISTEN_FDS"))
		names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
		for i := 0; i < n && i < len(names); i++ {
			s.inherited[names[i]] = append(s.inherited[names[i]], firstFD+i)
		}
	}
	if s.notify == "" && len(s.inherited) == 0 {
		return nil
	}
	return s
}
