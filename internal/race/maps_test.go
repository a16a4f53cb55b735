package race_test

import (
	"testing"

	"interlock/internal/race"
)

func TestLinesOfMaps(t *testing.T) {
	if !race.Enabled {
		t.Skip("needs -race")
	}
	type parsed struct {
		lo, hi uintptr
		file   string
		offset uint64
	}
	for line, want := range map[string]parsed{
		"7f5d1c200000-7f5d1c204000 rw-s 00001000 00:01 2057     /memfd:a name (deleted)": {0x7f5d1c200000, 0x7f5d1c204000, "00:01 2057", 0x1000},
		"7f5d1c200000-7f5d1c204000 r--s 00000000 00:01 2058     /dev/zero (deleted)":     {0x7f5d1c200000, 0x7f5d1c204000, "00:01 2058", 0},
		// A segment's ID counts from 0, beside the inodes of the same device.
		"7f5d1c200000-7f5d1c201000 rw-s 00000000 00:01 0        /SYSV00000000 (deleted)": {0x7f5d1c200000, 0x7f5d1c201000, "00:01 0 SYSV", 0},
		"7f5d1c200000-7f5d1c201000 rw-s 00000000 00:01 2057     /SYSV00000000 (deleted)": {0x7f5d1c200000, 0x7f5d1c201000, "00:01 2057 SYSV", 0},
		"7f5d1c200000-7f5d1c201000 rw-p 00002000 fe:00 247026   /usr/bin/cat":            {0x7f5d1c200000, 0x7f5d1c201000, "", 0},
		"c000000000-c000400000 rw-p 00000000 00:00 0 ":                                   {0xc000000000, 0xc000400000, "", 0},
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]":             {0xffffffffff600000, 0xffffffffff601000, "", 0},
		"":        {},
		"nothing": {},
	} {
		var got parsed
		if got.lo, got.hi, got.file, got.offset = race.Parse(line); got != want {
			t.Errorf("%q:\n%+v, want\n%+v", line, got, want)
		}
	}
}
