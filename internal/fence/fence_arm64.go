package fence

// Loads keeps every load before it in program order before every load after it.
//
// Preconditions:
//   - the first load after it is an atomic one (needed on amd64).
//
//go:noescape
func Loads()

// Stores keeps every store before it in program order before every store after it.
//
// Preconditions:
//   - the last store before it is an atomic one (needed on amd64).
//
//go:noescape
func Stores()
