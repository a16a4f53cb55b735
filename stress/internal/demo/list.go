package demo

// All are the demos, in the order that teaches.
func All() []*Demo {
	return []*Demo{
		lostUpdate,
		tornRead,
		checkThenLock,
		lostWakeup,
		deadOwner,
		privateFutex,
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
