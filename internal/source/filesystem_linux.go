package source

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func (d *dirHandle) fileSystem() (FileSystem, error)  { return fileSystemOf(d.fd) }
func (f *fileHandle) fileSystem() (FileSystem, error) { return fileSystemOf(f.fd) }

func fileSystemOf(fd int) (FileSystem, error) {
	for {
		var st unix.Statfs_t
		err := unix.Fstatfs(fd, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return FileSystem{}, fmt.Errorf("ask for the file system: %w", err)
		}
		if known, ok := fileSystems[uint32(st.Type)]; ok {
			return known, nil
		}
		return FileSystem{Slack: coarseSlack}, nil
	}
}

// fileSystems are the types known here by the numbers statfs(2) gives.
var fileSystems = map[uint32]FileSystem{
	unix.EXT4_SUPER_MAGIC:      {Name: "ext4", Slack: fineSlack}, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:       {Name: "xfs", Slack: fineSlack},
	unix.BTRFS_SUPER_MAGIC:     {Name: "btrfs", Slack: fineSlack},
	unix.BCACHEFS_SUPER_MAGIC:  {Name: "bcachefs", Slack: fineSlack},
	0x2fc12fc1:                 {Name: "zfs", Slack: fineSlack},
	unix.F2FS_SUPER_MAGIC:      {Name: "f2fs", Slack: fineSlack},
	unix.NILFS_SUPER_MAGIC:     {Name: "nilfs2", Slack: fineSlack},
	unix.TMPFS_MAGIC:           {Name: "tmpfs", Slack: fineSlack}, // and devtmpfs
	unix.RAMFS_MAGIC:           {Name: "ramfs", Slack: fineSlack},
	unix.OVERLAYFS_SUPER_MAGIC: {Name: "overlay", Slack: fineSlack},
	unix.SQUASHFS_MAGIC:        {Name: "squashfs", Slack: fineSlack},
	unix.EROFS_SUPER_MAGIC_V1:  {Name: "erofs", Slack: fineSlack},

	unix.REISERFS_SUPER_MAGIC: {Name: "reiserfs", Slack: coarseSlack},
	unix.MSDOS_SUPER_MAGIC:    {Name: "vfat", Slack: coarseSlack},
	unix.EXFAT_SUPER_MAGIC:    {Name: "exfat", Slack: coarseSlack},
	0x5346544e:                {Name: "ntfs", Slack: coarseSlack},
	0x7366746e:                {Name: "ntfs3", Slack: coarseSlack},
	unix.ISOFS_SUPER_MAGIC:    {Name: "iso9660", Slack: coarseSlack},
	unix.UDF_SUPER_MAGIC:      {Name: "udf", Slack: coarseSlack},
	unix.ECRYPTFS_SUPER_MAGIC: {Name: "ecryptfs", Slack: coarseSlack},
	unix.AUTOFS_SUPER_MAGIC:   {Name: "autofs", Slack: coarseSlack},

	unix.NFS_SUPER_MAGIC:   {Name: "nfs", Slack: networkSlack},
	unix.SMB_SUPER_MAGIC:   {Name: "smbfs", Slack: networkSlack},
	unix.CIFS_SUPER_MAGIC:  {Name: "cifs", Slack: networkSlack},
	unix.SMB2_SUPER_MAGIC:  {Name: "smb3", Slack: networkSlack},
	unix.AFS_SUPER_MAGIC:   {Name: "afs", Slack: networkSlack},
	unix.AFS_FS_MAGIC:      {Name: "afs", Slack: networkSlack},
	unix.CODA_SUPER_MAGIC:  {Name: "coda", Slack: networkSlack},
	unix.CEPH_SUPER_MAGIC:  {Name: "ceph", Slack: networkSlack},
	unix.V9FS_MAGIC:        {Name: "9p", Slack: networkSlack},
	unix.OCFS2_SUPER_MAGIC: {Name: "ocfs2", Slack: networkSlack},
	0x01161970:             {Name: "gfs2", Slack: networkSlack},
	0x0bd00bd0:             {Name: "lustre", Slack: networkSlack},
	0x47504653:             {Name: "gpfs", Slack: networkSlack},
	0x19830326:             {Name: "beegfs", Slack: networkSlack},
	unix.FUSE_SUPER_MAGIC:  {Name: "fuse", Slack: networkSlack}, // may be anything, sshfs and s3fs among it

	unix.PROC_SUPER_MAGIC:      {Name: "proc", Pseudo: true, Slack: coarseSlack},
	unix.SYSFS_MAGIC:           {Name: "sysfs", Pseudo: true, Slack: coarseSlack},
	unix.CGROUP_SUPER_MAGIC:    {Name: "cgroup", Pseudo: true, Slack: coarseSlack},
	unix.CGROUP2_SUPER_MAGIC:   {Name: "cgroup2", Pseudo: true, Slack: coarseSlack},
	unix.DEBUGFS_MAGIC:         {Name: "debugfs", Pseudo: true, Slack: coarseSlack},
	unix.TRACEFS_MAGIC:         {Name: "tracefs", Pseudo: true, Slack: coarseSlack},
	unix.BPF_FS_MAGIC:          {Name: "bpf", Pseudo: true, Slack: coarseSlack},
	unix.SECURITYFS_MAGIC:      {Name: "securityfs", Pseudo: true, Slack: coarseSlack},
	unix.SELINUX_MAGIC:         {Name: "selinuxfs", Pseudo: true, Slack: coarseSlack},
	unix.SMACK_MAGIC:           {Name: "smackfs", Pseudo: true, Slack: coarseSlack},
	unix.AAFS_MAGIC:            {Name: "apparmorfs", Pseudo: true, Slack: coarseSlack},
	unix.DEVPTS_SUPER_MAGIC:    {Name: "devpts", Pseudo: true, Slack: coarseSlack},
	unix.HUGETLBFS_MAGIC:       {Name: "hugetlbfs", Pseudo: true, Slack: coarseSlack},
	0x19800202:                 {Name: "mqueue", Pseudo: true, Slack: coarseSlack},
	0x62656570:                 {Name: "configfs", Pseudo: true, Slack: coarseSlack},
	0x65735543:                 {Name: "fusectl", Pseudo: true, Slack: coarseSlack},
	0x67596969:                 {Name: "rpc_pipefs", Pseudo: true, Slack: coarseSlack},
	0x6e667364:                 {Name: "nfsd", Pseudo: true, Slack: coarseSlack},
	unix.PSTOREFS_MAGIC:        {Name: "pstore", Pseudo: true, Slack: coarseSlack},
	unix.EFIVARFS_MAGIC:        {Name: "efivarfs", Pseudo: true, Slack: coarseSlack},
	unix.BINFMTFS_MAGIC:        {Name: "binfmt_misc", Pseudo: true, Slack: coarseSlack},
	unix.BINDERFS_SUPER_MAGIC:  {Name: "binder", Pseudo: true, Slack: coarseSlack},
	unix.RDTGROUP_SUPER_MAGIC:  {Name: "resctrl", Pseudo: true, Slack: coarseSlack},
	unix.XENFS_SUPER_MAGIC:     {Name: "xenfs", Pseudo: true, Slack: coarseSlack},
	unix.OPENPROM_SUPER_MAGIC:  {Name: "openpromfs", Pseudo: true, Slack: coarseSlack},
	unix.USBDEVICE_SUPER_MAGIC: {Name: "usbfs", Pseudo: true, Slack: coarseSlack},
	unix.NSFS_MAGIC:            {Name: "nsfs", Pseudo: true, Slack: coarseSlack}, // files that name spaces are mounted on
	unix.PID_FS_MAGIC:          {Name: "pidfs", Pseudo: true, Slack: coarseSlack},
	unix.ANON_INODE_FS_MAGIC:   {Name: "anon_inodefs", Pseudo: true, Slack: coarseSlack},
	unix.NULL_FS_MAGIC:         {Name: "nullfs", Pseudo: true, Slack: coarseSlack},
}
