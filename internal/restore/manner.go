package restore

import (
	"os"
	"os/user"
	"strconv"
	"sync/atomic"

	"waybill/internal/catalog"
)

// A manner is how metadata is set: by whom, and for whom.
type manner struct {
	root       bool
	uid, gid   uint32 // ours
	umask      uint32 // bits that a new file surely lacks; all when unknown
	own        bool   // set owners
	uids, gids map[uint32]uint32
	unkept     atomic.Int64 // entries whose NTFS metadata the target can't hold
}

func newManner(o Owners, users, groups map[string]string) *manner {
	m := &manner{root: isRoot(), uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), umask: umask()}
	m.own = o == OwnersByNumber || o == OwnersByName || o == OwnersAuto && m.root
	if o == OwnersByName {
		m.uids = byName(users, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		m.gids = byName(groups, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
	}
	return m
}

// byName maps the point's ids to those their names have here. Names that nobody has are left out.
func byName(names map[string]string, lookup func(string) (string, error)) map[uint32]uint32 {
	ids := map[uint32]uint32{}
	for there, name := range names {
		here, err := lookup(name)
		if err != nil {
			continue
		}
		from, err1 := strconv.ParseUint(there, 10, 32)
		to, err2 := strconv.ParseUint(here, 10, 32)
		if err1 == nil && err2 == nil {
			ids[uint32(from)] = uint32(to)
		}
	}
	return ids
}

// owner is who shall own an entry, given who owns it as it was made.
func (m *manner) owner(e *catalog.Entry, uid, gid uint32) (uint32, uint32) {
	if !m.own {
		return uid, gid
	}
	uid, gid = e.UID, e.GID
	if id, ok := m.uids[uid]; ok {
		uid = id
	}
	if id, ok := m.gids[gid]; ok {
		gid = id
	}
	return uid, gid
}

// setID are the mode bits that lend a program its owner's rights, or its group's.
const setID = 0o6000

// mode is an entry's mode, given who owns it now. A program must not lend the rights of someone that the
// point didn't say.
func (m *manner) mode(e *catalog.Entry, uid, gid uint32) uint32 {
	wantUID, wantGID := e.UID, e.GID
	if m.own {
		wantUID, wantGID = m.owner(e, uid, gid)
	}
	if e.Kind == catalog.File && e.Mode&setID != 0 && (uid != wantUID || gid != wantGID) {
		return e.Mode &^ setID
	}
	return e.Mode
}
