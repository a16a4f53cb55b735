package demo

// All are the demos, in the order that teaches.
func All() []*Demo {
	return []*Demo{
		lostUpdate,
		oneInstruction,
		impossible,
		tornRead,
		doubleBuffer,
		checkThenLock,
		bank,
		lostWakeup,
		ifNotWhile,
		deadOwner,
		initRace,
		ring,
		privateFutex,
		sleepIsNotSync,
		falseSharing,
		pidReuse,
		fullShm,
	}
}

// Find is the demo of this name, nil if there is none.
func Find(name string) *Demo {
	for _, d := range All() {
		if d.Name == name {
			return d
		}
	}
	return nil
}
