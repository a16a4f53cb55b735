package layout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// The header that shm.Share puts before T. Numbers are in the machine's own
// byte order; a file from a machine of the other order fails on its magic.
//
//	offset  size  field         meaning
//	     0     8  magic         "ILOCKSHM" as one word
//	     8     4  version       Version; bytes 0-15 keep this meaning in every version
//	    12     4  state         0 being made, 1 ready; stored last, atomically
//	    16     4  payload       offset of T: PayloadOffset
//	    20     1  word          bytes per word, bit 7 set if big-endian
//	    21     3  -             zero
//	    24     8  size          bytes in T
//	    32     8  fingerprint   Fingerprint(T)
//	    40     8  pid namespace inode of the maker's /proc/self/ns/pid
//	    48    16  boot id       the maker's /proc/sys/kernel/random/boot_id, 0 if it had none
//	    64     4  maker         pid of the maker, for messages only
//	    68     4  description   bytes of text at offset 128
//	    72     8  architecture  the maker's GOARCH, zeros behind it
//	    80    48  -             zero, for later versions
//	   128  1920  text          Describe(T), UTF-8, cut if too long
//	  2048        T             on a cache line of its own
//
// Nobody writes a header after state became 1. A change of any meaning here,
// or of the meaning of a word inside a primitive that leaves its layout as it
// was, must change Version.
const (
	Version = 2

	offMagic       = 0
	offVersion     = 8
	offState       = 12
	offPayload     = 16
	offWord        = 20
	offSize        = 24
	offFingerprint = 32
	offPIDNS       = 40
	offBootID      = 48
	offMaker       = 64
	offDescLen     = 68
	offArch        = 72
	lenArch        = 8
	offDescription = 128

	// PayloadOffset is where T lies: a multiple of any Go type's alignment and
	// of the cache line, so T's first word shares no line with the header.
	PayloadOffset = 2048
)

// On an architecture whose name does not fit, this line does not compile.
const _ = uint(lenArch - len(runtime.GOARCH))

// Values of the state word.
const (
	StateMaking = 0
	StateReady  = 1
)

var magic = [8]byte{'I', 'L', 'O', 'C', 'K', 'S', 'H', 'M'}

// The four answers of Decode other than "fine", in the order they are looked
// for. Everything else about a header is for the caller to compare.
var (
	ErrMagic     = errors.New("no interlock header")
	ErrVersion   = errors.New("header of another version")
	ErrNotReady  = errors.New("header not finished")
	ErrTruncated = errors.New("shorter than its header says")
)

// A Header is a decoded, validated copy: nothing in it can change any more.
type Header struct {
	Version     uint32
	State       uint32
	Word        uint8
	Size        uint64
	Fingerprint uint64
	PIDNS       uint64
	BootID      [16]byte
	Maker       uint32
	Arch        string
	Description string
}

// Encode writes h into the first PayloadOffset bytes of mem, which must be
// zero there, as of this version and program, and in state StateMaking,
// whatever h says: MarkReady is the last step, and it is another.
func (h *Header) Encode(mem []byte) {
	b := mem[:PayloadOffset]
	desc := Truncate(h.Description, MaxDescription)
	ne := binary.NativeEndian
	ne.PutUint32(b[offVersion:], Version)
	ne.PutUint32(b[offPayload:], PayloadOffset)
	b[offWord] = wordByte()
	ne.PutUint64(b[offSize:], h.Size)
	ne.PutUint64(b[offFingerprint:], h.Fingerprint)
	ne.PutUint64(b[offPIDNS:], h.PIDNS)
	copy(b[offBootID:], h.BootID[:])
	ne.PutUint32(b[offMaker:], h.Maker)
	copy(b[offArch:], runtime.GOARCH)
	ne.PutUint32(b[offDescLen:], uint32(len(desc)))
	copy(b[offDescription:], desc)
	ne.PutUint64(b[offMagic:], binary.LittleEndian.Uint64(magic[:]))
}

// Decode reads a header from a *private copy* of an object's first bytes (at
// most PayloadOffset of them are used) and checks it against the object's
// length: magic, version, state, then size. b must not be shared memory: each
// field is read once, but a peer could still change one between its check and
// its use elsewhere. Any bytes are safe; what is wrong comes back as one of
// the errors above.
//
// The header is returned, as far as it was understood, with every error but
// ErrMagic.
func Decode(b []byte, objectSize int64) (*Header, error) {
	ne := binary.NativeEndian
	if len(b) < offVersion || ne.Uint64(b) != binary.LittleEndian.Uint64(magic[:]) {
		return nil, whyNoMagic(b)
	}
	h := &Header{}
	if len(b) < offPayload {
		return h, fmt.Errorf("%w: %d bytes, a header has %d", ErrTruncated, objectSize, PayloadOffset)
	}
	h.Version = ne.Uint32(b[offVersion:])
	h.State = ne.Uint32(b[offState:])
	if h.Version != Version {
		return h, fmt.Errorf("%w: %d, this program knows %d", ErrVersion, h.Version, Version)
	}
	if len(b) < PayloadOffset {
		return h, fmt.Errorf("%w: %d bytes, a header has %d", ErrTruncated, objectSize, PayloadOffset)
	}
	h.decodeRest(b)
	if h.State != StateReady {
		return h, fmt.Errorf("%w: state %d, made by pid %d", ErrNotReady, h.State, h.Maker)
	}
	// Compare without adding: Size is any 64 bits.
	if objectSize < PayloadOffset || h.Size > uint64(objectSize-PayloadOffset) {
		return h, fmt.Errorf("%w: %d bytes, its header needs %d + %d", ErrTruncated, objectSize, PayloadOffset, h.Size)
	}
	if at := ne.Uint32(b[offPayload:]); at != PayloadOffset {
		return nil, fmt.Errorf("%w: payload at %d, want %d", ErrMagic, at, PayloadOffset)
	}
	return h, nil
}

func (h *Header) decodeRest(b []byte) {
	ne := binary.NativeEndian
	h.Word = b[offWord]
	h.Size = ne.Uint64(b[offSize:])
	h.Fingerprint = ne.Uint64(b[offFingerprint:])
	h.PIDNS = ne.Uint64(b[offPIDNS:])
	copy(h.BootID[:], b[offBootID:])
	h.Maker = ne.Uint32(b[offMaker:])
	h.Arch = printable(b[offArch : offArch+lenArch])
	n := min(ne.Uint32(b[offDescLen:]), MaxDescription) // never trusted as an index
	h.Description = printable(b[offDescription : offDescription+n])
}

// printable makes text from a peer safe to print on a terminal.
func printable(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b), "?"))
}

func whyNoMagic(b []byte) error {
	if len(b) >= offVersion && binary.NativeEndian.Uint64(b) == binary.BigEndian.Uint64(magic[:]) {
		return fmt.Errorf("%w: it was made on a machine of the other byte order", ErrMagic)
	}
	if len(b) < offVersion {
		return fmt.Errorf("%w: only %d bytes", ErrMagic, len(b))
	}
	return fmt.Errorf("%w: it begins with %q", ErrMagic, b[:offVersion])
}

// Ours reports whether h was made by a program for this architecture, whose
// words look as ours do. The fingerprint covers it; this is for a better
// message.
func (h *Header) Ours() bool { return h.Word == wordByte() && h.Arch == runtime.GOARCH }
