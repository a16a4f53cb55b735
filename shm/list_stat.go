package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A sight is what the kernel tells of a file.
type sight struct {
	info   Info
	links  uint32
	device string // as in /proc/PID/maps
	inode  uint64
}

// where is the file's device and inode, as they stand in /proc/PID/maps.
func (s *sight) where() string { return s.device + " " + strconv.FormatUint(s.inode, 10) }

// lookAt is fstatat, with the time of birth where the kernel keeps it.
func lookAt(dirfd int, path string, flags int) (*sight, error) {
	const want = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	var x unix.Statx_t
	err := again0(func() error { return unix.Statx(dirfd, path, flags, want, &x) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // a filter older than the call
		return lookWithoutBirth(dirfd, path, flags)
	}
	if err != nil {
		return nil, err
	}
	s := &sight{links: x.Nlink, device: device(x.Dev_major, x.Dev_minor), inode: x.Ino}
	s.info = Info{Size: int64(x.Size), Mode: fileMode(uint32(x.Mode)), UID: int(x.Uid), GID: int(x.Gid),
		Changed: time.Unix(x.Ctime.Sec, int64(x.Ctime.Nsec))}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.info.Made = time.Unix(x.Btime.Sec, int64(x.Btime.Nsec))
	}
	return s, nil
}

func lookWithoutBirth(dirfd int, path string, flags int) (*sight, error) {
	var st unix.Stat_t
	if err := again0(func() error { return unix.Fstatat(dirfd, path, &st, flags) }); err != nil {
		return nil, err
	}
	s := &sight{links: uint32(st.Nlink), device: device(unix.Major(st.Dev), unix.Minor(st.Dev)), inode: st.Ino}
	s.info = Info{Size: st.Size, Mode: fileMode(st.Mode), UID: int(st.Uid), GID: int(st.Gid),
		Changed: time.Unix(st.Ctim.Unix())}
	return s, nil
}

// device writes a device number as /proc/PID/maps does.
func device(major, minor uint32) string { return fmt.Sprintf("%02x:%02x", major, minor) }

// fileMode is the mode as package os has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	default:
		m |= fs.ModeIrregular
	}
	for bit, is := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= is
		}
	}
	return m
}

// segments looks at the System V segments of this IPC namespace. The kernel
// tells of all of them to everybody.
func (l *lister) segments() error {
	all, err := listSysV()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without them
	}
	for _, v := range all {
		l.sysv[v.ID] = l.add(&Info{Kind: KindSysV, Key: v.Key, ID: v.ID, Size: v.Size, Mode: v.Mode, UID: int(v.UID), GID: int(v.GID),
			Changed: v.ChangeTime, Removed: v.Removed, Maker: v.CreatorPID, Attached: v.Attached})
	}
	return err
}
