package fence

// Loads keeps every load before it in program order before every load after it.
//
// Preconditions:
//   - the first load after it is an atomic one (that holds the compiler).
//
// Empty on purpose: an amd64 CPU never reorders loads with loads.
func Loads() {}

// Stores keeps every store before it in program order before every store after it.
//
// Preconditions:
//   - the last store before it is an atomic one (that holds the compiler).
//
// Empty on purpose: an amd64 CPU never reorders stores with stores.
func Stores() {}
