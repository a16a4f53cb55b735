// Package layout answers one question about a Go type: may its bytes be
// shared between processes, and do two programs mean the same bytes by it?
//
//	flat.go            Check: which types have no business in shared memory, and why
//	cache_unsafe.go    MustBeFlat: the same answer in a few nanoseconds, for hot paths
//	fingerprint.go     Fingerprint: 64 bits that change when the layout changes
//	path.go            FirstBeyond, Strictest: which field is in the way
//	describe.go        Describe: the layout in words, for error messages and inspectors
//	difference.go      Difference: where two such texts part
//	header.go          Header: the bytes in front of a shared T, encoded and decoded
//	header_unsafe.go   MarkReady: the one atomic store into that header
//
// It knows nothing of mappings, files or primitives.
package layout

import "strconv"

// Only 64-bit programs may share memory through this module: there a 64-bit
// word is 8-byte aligned by the compiler (P-G8), and uint64, int64 and the
// words in sync/atomic have the same size and alignment in every program.
// On a 32-bit platform this line does not compile.
const _ = uint(strconv.IntSize - 64)
