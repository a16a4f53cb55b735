package tracer

// plays are all operations, in the order of the table. (A function: actors know them
// by number.)
func plays() []*play {
	return []*play{
		&firstPlay, &lockPlay, &lockContextPlay, &giveUpPlay, &tryLockPlay, &unlockPlay, &queuePlay,
		&ownerDiesPlay, &repairPlay, &failPlay, &condemnPlay,
		&acquirePlay, &acquireGiveUpPlay, &tryAcquirePlay, &releasePlay, &acquireQueuePlay,
		&waitPlay, &waitGiveUpPlay, &signalPlay, &broadcastPlay, &waitQueuePlay,
		&storePlay, &updatePlay, &loadPlay, &doubleStorePlay, &doubleUpdatePlay, &doubleLoadPlay,
		&sharePlay,
	}
}
