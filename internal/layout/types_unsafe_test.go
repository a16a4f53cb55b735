package layout

import "unsafe"

// withUnsafePointer is a type that Check must refuse.
type withUnsafePointer struct{ P unsafe.Pointer }
