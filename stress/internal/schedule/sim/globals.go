package sim

// A process has package variables of its own: its copy of the code has them. They are
// set back before each execution to what they were when the program began.
var globals []*global

type global struct{ save, restore func() }

var saved bool

// Global registers a package variable of a process's code.
func Global[T any](v *T) {
	var was T
	globals = append(globals, &global{
		save:    func() { was = *v },
		restore: func() { *v = was },
	})
}

func resetGlobals() {
	for _, g := range globals {
		if saved {
			g.restore()
		} else {
			g.save()
		}
	}
	saved = true
}
