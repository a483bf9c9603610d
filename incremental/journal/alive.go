package journal

// Alive is a set of files of NTFS, by their ids: a record of the file table, and in the upper 16 bits how often that was used, which is
// never 0. The zero value is empty. It takes 2 bytes for each record of the table, 64 MiB at most.
type Alive struct{ pages []*alivePage }

type alivePage [1 << 15]uint16

// maxRecords is how many records of a file table are kept track of.
const maxRecords = 1 << 25

// Add adds a file. It returns false if there are too many: then the set is of no use.
func (a *Alive) Add(id uint64) bool {
	record, used := id&(1<<48-1), uint16(id>>48)
	if record >= maxRecords {
		return false
	}
	page := int(record / uint64(len(alivePage{})))
	for len(a.pages) <= page {
		a.pages = append(a.pages, nil)
	}
	if a.pages[page] == nil {
		a.pages[page] = &alivePage{}
	}
	a.pages[page][record%uint64(len(alivePage{}))] = used
	return true
}

// Has tells whether a file is in the set: the very one, not another that has its record by now.
func (a *Alive) Has(id uint64) bool {
	record, used := id&(1<<48-1), uint16(id>>48)
	page := record / uint64(len(alivePage{}))
	if used == 0 || page >= uint64(len(a.pages)) || a.pages[page] == nil {
		return false
	}
	return a.pages[page][record%uint64(len(alivePage{}))] == used
}
