package shm

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// From linux/shm.h; package unix lacks them.
const (
	shmLock    = 11     // SHM_LOCK
	shmUnlock  = 12     // SHM_UNLOCK
	shmDest    = 0o1000 // SHM_DEST, in the mode: removed, and still attached
	shmLocked  = 0o2000 // SHM_LOCKED, in the mode
	shmHugeTLB = 0o4000 // SHM_HUGETLB, a flag of shmget
)

// A SysVInfo is what the kernel knows of a System V segment: struct shmid_ds,
// what ipcs -m -i shows. It is out of date as soon as it is there.
type SysVInfo struct {
	ID   int
	Key  Key         // Private also once it was removed
	Size int64       // in bytes, as its maker asked for; mapped are whole pages
	Mode os.FileMode // permission bits

	UID, GID               uint32 // the owner
	CreatorUID, CreatorGID uint32
	CreatorPID, LastPID    int // who made it, who attached or detached last; 0 if none, or not in this PID namespace
	Attached               int // how often it is attached, over all processes; the kernel counts the dead out

	AttachTime, DetachTime time.Time // the last of each, zero if there was none; whole seconds
	ChangeTime             time.Time // when it was made, or changed by SysVSet; whole seconds

	Removed bool // it was removed, and goes when it is attached nowhere ("dest" in ipcs -m)
	Locked  bool // see SysVLock
}

// SysVStat asks about the segment with this identifier: IPC_STAT. It needs
// permission to read the segment.
//
// Errors: ErrNotExist; fs.ErrPermission.
func SysVStat(id int) (SysVInfo, error) {
	info, err := ipcStat(id)
	switch err {
	case nil:
	case unix.EACCES:
		err = deniedSysV(id, err, true)
	default:
		err = explainCtl(id, err)
	}
	return info, sysvCall{"shm.SysVStat", fmt.Sprint("id ", id)}.fail(err)
}

// SysVSet sets the permission bits of a segment: IPC_SET. Owner and group stay
// as they are, and so do attachments: only who attaches it from now on is
// judged by the new bits. Only the owner, the creator and root may.
//
// The call sets owner and group too, to what they just were; a change of them
// by another program at the same instant may be undone.
//
// Errors: ErrNotExist; fs.ErrPermission; fs.ErrInvalid for more than permission
// bits. A process killed in SysVSet has changed the bits or not.
func SysVSet(id int, perm os.FileMode) error {
	call := sysvCall{"shm.SysVSet", fmt.Sprint("id ", id)}
	if perm&^0o777 != 0 {
		return call.fail(fmt.Errorf("mode %v has more than permission bits: %w", perm, fs.ErrInvalid))
	}
	return call.fail(sysvSetMode(id, perm))
}

// SysVLock keeps the pages of a segment from being swapped out, or lets them
// be swapped again: SHM_LOCK and SHM_UNLOCK. That is not placement: a page
// that nobody has touched yet has no memory, locked or not, and is found (or
// not) at its first touch. The lock is the segment's, not this process's: it
// stays when the process ends, and anybody with the right may undo it.
//
// Who is not root must own the segment, and all that the user has locked
// counts against RLIMIT_MEMLOCK (ulimit -l).
//
// Errors: ErrNotExist; fs.ErrPermission; ENOMEM if the limit is too low, with
// the limit.
func SysVLock(id int, locked bool) error {
	cmd := shmUnlock
	if locked {
		cmd = shmLock
	}
	_, err := unix.SysvShmCtl(id, cmd, nil)
	return sysvCall{"shm.SysVLock", fmt.Sprint("id ", id)}.fail(explainLock(id, err))
}

// SysVRemove removes the segment with this identifier: IPC_RMID. Its key is
// free at once. The memory is given back when nobody has it attached any more,
// which a process that dies counts as too; until then it goes on working, and
// Removed tells. To remove it again then is no error. To remove by key, ask
// SysVID.
//
// Removing a segment right after all who need it have attached it is the only
// way to leave nothing behind, however they end.
//
// Errors: ErrNotExist; fs.ErrPermission: only the owner, the creator and root
// may. A process killed in SysVRemove has removed it or not.
func SysVRemove(id int) error {
	return sysvCall{"shm.SysVRemove", fmt.Sprint("id ", id)}.fail(rmid(id))
}

func rmid(id int) error {
	_, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return explainCtl(id, err)
}

// ipcStat is the bare call: who explains its error may have to ask again.
func ipcStat(id int) (SysVInfo, error) {
	var d unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &d); err != nil {
		return SysVInfo{}, err
	}
	p := &d.Perm
	return SysVInfo{
		ID: id, Key: Key(p.Key), Size: int64(d.Segsz), Mode: os.FileMode(p.Mode & 0o777),
		UID: p.Uid, GID: p.Gid, CreatorUID: p.Cuid, CreatorGID: p.Cgid,
		CreatorPID: int(d.Cpid), LastPID: int(d.Lpid), Attached: int(d.Nattch),
		AttachTime: unixTime(d.Atime), DetachTime: unixTime(d.Dtime), ChangeTime: unixTime(d.Ctime),
		Removed: p.Mode&shmDest != 0, Locked: p.Mode&shmLocked != 0,
	}, nil
}

func unixTime(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// sysvSetMode changes the mode alone. IPC_SET wants owner and group as well, and
// an owner who may not read cannot ask IPC_STAT for them.
func sysvSetMode(id int, perm os.FileMode) error {
	info, err := statOrList(id)
	if err != nil {
		return err
	}
	d := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: info.UID, Gid: info.GID, Mode: uint32(perm)}}
	_, err = unix.SysvShmCtl(id, unix.IPC_SET, &d)
	return explainCtl(id, err)
}

// statOrList needs no permission: /proc lists every segment to everybody.
func statOrList(id int) (SysVInfo, error) {
	info, err := ipcStat(id)
	if err == unix.EINVAL || err == unix.EIDRM {
		return info, noSysV(id)
	}
	if err == unix.EACCES {
		all, _ := listSysV()
		for _, listed := range all {
			if listed.ID == id {
				return listed, nil
			}
		}
	}
	return info, err
}
