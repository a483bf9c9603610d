package fanotify

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// send sends a message, with descriptors. It does nothing without systemd.
func (s *Systemd) send(message string, fds ...int) error {
	if s == nil || s.notify == "" {
		return nil
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer unix.Close(socket)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(socket, []byte(message), rights, &unix.SockaddrUnix{Name: s.notify}, 0); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// keep has systemd keep descriptors for the next agent: all of them or none.
func (s *Systemd) keep(name string, fds ...int) error {
	return s.send("FDSTORE=1\nFDNAME="+name, fds...)
}

// forget has systemd close what it keeps under a name. If it doesn't, the next agent will.
func (s *Systemd) forget(name string) {
	_ = s.send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// inherit returns the descriptors that were kept under a name, which are the caller's then.
func (s *Systemd) inherit(name string) []int {
	if s == nil {
		return nil
	}
	list := s.inherited[name]
	delete(s.inherited, name)
	for _, fd := range list {
		unix.CloseOnExec(fd)
	}
	return list
}

// closeInherited closes what nobody wanted.
func (s *Systemd) closeInherited() {
	if s == nil {
		return
	}
	for name, list := range s.inherited {
		closeAll(list)
		s.forget(name)
	}
	clear(s.inherited)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
