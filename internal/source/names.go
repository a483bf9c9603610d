package source

import (
	"os/user"
	"strconv"
	"sync"
)

// Names tells what the system calls owners. Each is asked for once. The zero value is ready; safe for concurrent use.
type Names struct {
	mu            sync.Mutex
	users, groups map[uint32]string // under mu; empty for those that have no name
}

// User returns the name of the user with this number, empty if there is none.
func (n *Names) User(uid uint32) string {
	return n.cached(&n.users, uid, func(id string) string {
		if u, err := user.LookupId(id); err == nil {
			return u.Username
		}
		return ""
	})
}

// Group returns the name of the group with this number, empty if there is none.
func (n *Names) Group(gid uint32) string {
	return n.cached(&n.groups, gid, func(id string) string {
		if g, err := user.LookupGroupId(id); err == nil {
			return g.Name
		}
		return ""
	})
}

func (n *Names) cached(known *map[uint32]string, id uint32, ask func(string) string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := (*known)[id]; ok {
		return name
	}
	if *known == nil {
		*known = make(map[uint32]string)
	}
	name := ask(strconv.FormatUint(uint64(id), 10))
	(*known)[id] = name
	return name
}
