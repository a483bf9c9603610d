package source

import "time"

// FileSystem is what is known about the file system a directory lies on.
type FileSystem struct {
	// Name is the type's name, empty if it isn't known here.
	Name string

	// Pseudo is true where entries are the kernel's state and not somebody's data: proc, sysfs, cgroup and their like. Such a file system is
	// left out unless it was named as a root. In-memory file systems that hold data are not pseudo: tmpfs, ramfs, and devtmpfs, whose
	// device nodes are saved as what they are and never read; nor is autofs, under which real file systems are mounted.
	Pseudo bool

	// Slack is how far a ctime may lie before the moment of the change by the machine's own clock: the tick by which time
	// stamps go forward and, over a network, the difference of two machines' clocks.
	Slack time.Duration
}

// MixesDevices tells whether files may have another device than the directory that holds them, though nothing is mounted on
// them: those of an overlay have their layer's, unless all layers are of one file system (Linux, filesystems/overlayfs, "Inode properties").
func (fs FileSystem) MixesDevices() bool { return fs.Name == "overlay" }

const (
	fineSlack    = 20 * time.Millisecond // a tick is at most 10 ms, on Linux with HZ=100
	coarseSlack  = 2 * time.Second       // FAT counts in steps of 2 s; also for types not known here
	networkSlack = 5 * time.Minute       // what Kerberos tolerates between machines
)
