package source

// Rotational says whether path lies on a disk that turns, where reading in one place at a time is fastest. It is false where that
// can't be known: network file systems, several disks, virtual disks (whose host knows), systems other than Linux.
func Rotational(path string) bool { return rotational(path) }
