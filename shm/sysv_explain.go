package shm

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// explainCreate says why shmget made nothing.
func explainCreate(key Key, size int64, c *config, err error) error {
	if c.huge && (err == unix.ENOMEM || err == unix.EPERM) {
		return fmt.Errorf("%d bytes in huge pages: %w; %s of the default size are free: sysctl vm.nr_hugepages=COUNT, as root, makes more; "+
			"who is not root must be in the group of /proc/sys/vm/hugetlb_shm_group (%s)", size, err, freeHugePages(), sysctl("vm/hugetlb_shm_group"))
	}
	switch err {
	case unix.EEXIST:
		id, lookErr := shmget(key, 0, 0)
		if lookErr != nil {
			return fmt.Errorf("%w, or was until now; try again", ErrExist)
		}
		return fmt.Errorf("%w: by %s; SysVOpen it, choose another key, or SysVRemove(%d) it if it is a leftover", ErrExist, describeSysV(id), id)
	case unix.EINVAL:
		return fmt.Errorf("%d bytes: %w; a segment may have 1 (SHMMIN) to %s bytes (SHMMAX, /proc/sys/kernel/shmmax)", size, err, sysctl("kernel/shmmax"))
	case unix.ENOSPC:
		all, _ := listSysV()
		pages, page := int64(0), int64(os.Getpagesize())
		for _, info := range all {
			pages += (info.Size + page - 1) / page
		}
		return fmt.Errorf("%d bytes: %w; there are %d segments of at most %s (SHMMNI, /proc/sys/kernel/shmmni), with %d pages of at most %s (SHMALL, /proc/sys/kernel/shmall); "+
			"ipcs -m shows them, SysVRemove or ipcrm -m removes what is left over", size, err, len(all), sysctl("kernel/shmmni"), pages, sysctl("kernel/shmall"))
	case unix.ENOMEM:
		return fmt.Errorf("%d bytes: %w; see free -m and /proc/sys/vm/overcommit_memory", size, err)
	}
	return fmt.Errorf("%d bytes: %w", size, unsupported(err))
}

// explainCtl says why shmctl refused.
func explainCtl(id int, err error) error {
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.EIDRM:
		return noSysV(id)
	case unix.EPERM:
		return fmt.Errorf("%w; only its owner, its creator and root may: it is %s", err, describeSysV(id))
	case unix.EACCES:
		return deniedSysV(id, err, false)
	}
	return unsupported(err)
}

func explainLock(id int, err error) error {
	var l unix.Rlimit
	if err != unix.ENOMEM && err != unix.EPERM || unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l) != nil {
		return explainCtl(id, err)
	}
	most := fmt.Sprint(l.Cur, " bytes")
	if l.Cur == unix.RLIM_INFINITY {
		most = "unlimited"
	}
	if err == unix.EPERM {
		return fmt.Errorf("%w; only its owner and root may, and only with a RLIMIT_MEMLOCK above 0 (ulimit -l, now %s): it is %s", err, most, describeSysV(id))
	}
	return fmt.Errorf("%w; all that this user has locked must fit into RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK= of systemd, docker --ulimit memlock), now %s: it is %s", err, most, describeSysV(id))
}

func noSysV(id int) error {
	return fmt.Errorf("id %d: %w; it was removed, or is of another IPC namespace; ipcs -m lists all", id, ErrNotExist)
}

func deniedSysV(id int, err error, readOnly bool) error {
	hint := "its mode does not admit this user"
	if !readOnly {
		hint = "its mode does not let this user write (shm.ReadOnly needs less)"
	}
	return fmt.Errorf("%w; %s: it is %s; if that is a stranger's, choose another key", err, hint, describeSysV(id))
}

// unsupported adds what to do where there are no System V segments. EPERM,
// where the kernel itself has no cause for it, is a filter's.
func unsupported(err error) error {
	if err == unix.ENOSYS || err == unix.EPERM {
		return fmt.Errorf("%w; this kernel has no System V segments, or a filter forbids them: use shm.Create", err)
	}
	return err
}

// describeSysV tells people whose segment it is.
func describeSysV(id int) string {
	info, err := statOrList(id)
	if err != nil {
		return fmt.Sprint("id ", id)
	}
	s := fmt.Sprintf("id %d, %d bytes, mode %04o, owner uid %d, made by pid %d, attached %d times",
		id, info.Size, info.Mode, info.UID, info.CreatorPID, info.Attached)
	if info.Removed {
		s += ", removed"
	}
	return s
}

// sysctl reads a setting; those of System V are of this IPC namespace.
func sysctl(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return "an unknown number"
	}
	return strings.TrimSpace(string(b))
}

// listSysV returns the System V segments of this IPC namespace, whoever may read
// them. Lines of /proc/sysvipc/shm look so:
//
//	key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap
func listSysV() ([]SysVInfo, error) {
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return nil, err
	}
	var all []SysVInfo
	for line := range strings.Lines(string(text)) {
		if info, ok := parseSysV(strings.Fields(line)); ok {
			all = append(all, info)
		}
	}
	return all, nil
}

// parseSysV reads one line; the headline is not ok.
func parseSysV(f []string) (info SysVInfo, ok bool) {
	const columns = 14
	if len(f) < columns {
		return info, false
	}
	var v [columns]int64
	for i := range v {
		base := 10
		if i == 2 {
			base = 8 // perms
		}
		var err error
		if v[i], err = strconv.ParseInt(f[i], base, 64); err != nil {
			return info, false
		}
	}
	return SysVInfo{
		Key: Key(v[0]), ID: int(v[1]), Mode: os.FileMode(v[2] & 0o777), Size: v[3],
		CreatorPID: int(v[4]), LastPID: int(v[5]), Attached: int(v[6]),
		UID: uint32(v[7]), GID: uint32(v[8]), CreatorUID: uint32(v[9]), CreatorGID: uint32(v[10]),
		AttachTime: unixTime(v[11]), DetachTime: unixTime(v[12]), ChangeTime: unixTime(v[13]),
		Removed: v[2]&shmDest != 0, Locked: v[2]&shmLocked != 0,
	}, true
}
