package fanotify

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// send sends a message, with a descriptor if fd isn't negative. It does nothing without systemd.
func (s *Systemd) send(message string, fd int) error {
	if s == nil || s.notify == "" {
		return nil
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer unix.Close(socket)
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	if err := unix.Sendmsg(socket, []byte(message), rights, &unix.SockaddrUnix{Name: s.notify}, 0); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// keep has systemd keep a descriptor for the next agent.
func (s *Systemd) keep(name string, fd int) error {
	return s.send("FDSTORE=1\nFDNAME="+name, fd)
}

// forget has systemd close what it keeps under a name. If it doesn't, the next agent will.
func (s *Systemd) forget(name string) {
	_ = s.send("FDSTOREREMOVE=1\nFDNAME="+name, -1)
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
		for _, fd := range list {
			unix.Close(fd)
		}
		s.forget(name)
	}
	clear(s.inherited)
}
