package inspect

import (
	"fmt"
	"strconv"
	"strings"
)

// A node is a field of a description: see layout.Describe, whose text comes from a
// header, that is from a stranger. Any text gives nodes; only those that fit into
// the memory become places.
type node struct {
	name      string
	kind      string // the type's name, without array lengths
	lengths   []int64
	off, size int64
	fields    []*node
	wanted    bool // something in it becomes a place: see mark
}

// parseDescription understands
//
//	main.Shared 48 {Mu mutex.Mutex@0 40; Users [4]main.User@40 64 {ID uint64@0 8; …}}
//
// whole is false where the text was cut: what had not come to its end is left out.
func parseDescription(text string) (root *node, whole bool) {
	p := &parser{text: text}
	root = p.node(true)
	if root == nil {
		return nil, false
	}
	p.fields(root)
	return root, !p.short
}

type parser struct {
	text  string
	at    int
	short bool // it ended too soon
}

// word reads up to one of these at the outside of all brackets and quotes: a generic
// type's arguments may be any type's text.
func (p *parser) word(stops string) string {
	begin, depth := p.at, 0
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.quoted()
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth <= 0 && strings.IndexByte(stops, c) >= 0:
			return p.text[begin:p.at]
		}
	}
	p.short = true
	return p.text[begin:]
}

// quoted skips a struct tag in a type argument, up to its closing quote.
func (p *parser) quoted() {
	for p.at++; p.at < len(p.text) && p.text[p.at] != '"'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
}

func (p *parser) skip(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// node reads "NAME TYPE@OFFSET SIZE", or at the root "TYPE SIZE"; nil if there is none.
func (p *parser) node(root bool) *node {
	n := &node{}
	if !root {
		n.name = p.word(" ;{}")
		if !p.skip(' ') {
			return nil
		}
	}
	n.setType(p.word("@ ;{}"))
	if !root {
		if !p.skip('@') {
			return nil
		}
		n.off = number(p.word(" ;{}"))
	}
	if !p.skip(' ') {
		return nil
	}
	end := p.word(" ;{}")
	if p.short && root {
		p.short = false // the type of the whole may have no fields
	}
	n.size = number(end)
	if n.off < 0 || n.size < 0 || p.short {
		return nil
	}
	return n
}

// fields reads " {…}" behind a node, if it is there.
func (p *parser) fields(n *node) {
	p.skip(' ')
	if !p.skip('{') {
		return
	}
	for !p.short && !p.skip('}') {
		p.skip(' ')
		f := p.node(false)
		if f == nil {
			p.short = true
			return
		}
		n.fields = append(n.fields, f)
		p.fields(f)
		p.short = p.short || p.at == len(p.text)
		p.skip(';')
	}
}

// setType takes array lengths off a type's name.
func (n *node) setType(text string) {
	for strings.HasPrefix(text, "[") {
		length, rest, ok := strings.Cut(text[1:], "]")
		if !ok {
			break
		}
		n.lengths = append(n.lengths, number(length))
		text = rest
	}
	n.kind = text
}

// number is -1 for what is none, or too large to be an offset.
func number(text string) int64 {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return -1
	}
	return v
}

// primitive is the kind of primitive that a field without fields of its own may be.
func (n *node) primitive(size int64) (Kind, bool) {
	name, _, _ := strings.Cut(n.kind, "[")
	kinds := map[string]Kind{"mutex.Mutex": Mutex, "semaphore.Semaphore": Semaphore, "condvar.Cond": Cond,
		"seqlock.Seqlock": Seqlock, "seqlock.DoubleBuffer": DoubleBuffer}
	k, ok := kinds[name]
	exact := k != Seqlock && k != DoubleBuffer
	if !ok || len(n.fields) > 0 || size < sizeOf(k) || exact && size != sizeOf(k) {
		return Value, false
	}
	return k, true
}

// mark notes which nodes have anything in them that becomes a place, so that an
// array of a million numbers costs nothing.
func (n *node) mark(values bool) bool {
	_, n.wanted = n.primitive(n.element())
	n.wanted = n.wanted || values
	for _, f := range n.fields {
		if f.mark(values) {
			n.wanted = true
		}
	}
	return n.wanted
}

// count is how many elements n has, 1 if it is no array, -1 if the text lies.
func (n *node) count() int64 {
	count := int64(1)
	for _, l := range n.lengths {
		if l <= 0 || l > n.size/count { // an element has a byte at least
			return -1
		}
		count *= l
	}
	return count
}

// element is the size of one element.
func (n *node) element() int64 {
	c := n.count()
	if c <= 0 || n.size%c != 0 {
		return -1
	}
	return n.size / c
}

// A walk turns nodes into places.
type walk struct {
	values bool
	limit  int64 // where the memory ends
	steps  int
	places []Place
	lies   bool // the description does not fit
	full   bool // there are more than most
}

// most is how many places are looked at in one object, and how many elements of
// arrays are visited to find them.
const (
	most      = 1 << 20
	mostSteps = 4 * most
)

func (w *walk) visit(n *node, path string, base int64) {
	size := n.element()
	// Compare without adding: all three are any number.
	if size < 0 || n.off > w.limit-base || n.size > w.limit-base-n.off {
		w.lies = w.lies || n.size > 0
		return
	}
	base += n.off
	w.elements(n, path, base, 0, size)
}

// elements goes through dimension dim of an array; n itself is what has none left.
func (w *walk) elements(n *node, path string, base int64, dim int, size int64) {
	if w.full || !n.wanted {
		return
	}
	if dim < len(n.lengths) {
		stride := size
		for _, l := range n.lengths[dim+1:] {
			stride *= l
		}
		if w.values && n.isText(dim) {
			w.add(Place{Path: path, Kind: Value, Off: base, Size: n.lengths[dim], Type: "text"})
			return
		}
		for i := range n.lengths[dim] {
			w.elements(n, path+"["+strconv.FormatInt(i, 10)+"]", base+i*stride, dim+1, size)
			if w.full {
				return
			}
		}
		return
	}
	if w.steps++; w.steps > mostSteps {
		w.full = true
		return
	}
	if k, ok := n.primitive(size); ok {
		w.add(Place{Path: path, Kind: k, Off: base, Size: size})
		return
	}
	if len(n.fields) == 0 && w.values && size <= mostValue {
		w.add(Place{Path: path, Kind: Value, Off: base, Size: size, Type: n.kind})
	}
	for _, f := range n.fields {
		w.visit(f, strings.TrimPrefix(path+"."+f.name, "."), base)
	}
}

// isText: an array of bytes is shown as one.
func (n *node) isText(dim int) bool {
	return dim == len(n.lengths)-1 && (n.kind == "uint8" || n.kind == "int8") && n.lengths[dim] <= mostText
}

func (w *walk) add(p Place) {
	if len(w.places) == most {
		w.full = true
		return
	}
	w.places = append(w.places, p)
}

// Places finds the primitives of a description in size bytes of memory, and with
// values the small plain fields too. notes say what was left out.
func Places(description string, size int64, values bool) (places []Place, notes []string) {
	root, whole := parseDescription(description)
	if root == nil {
		return nil, []string{"its description cannot be read; say what lies where with -type"}
	}
	w := walk{values: values, limit: size}
	start := ""
	if _, ok := root.primitive(root.element()); ok || len(root.lengths) > 0 {
		start = "T" // as in errors: a type without a field has no other name
	}
	root.mark(values)
	w.visit(root, start, 0)
	if !whole {
		notes = append(notes, "its description was cut; for what lies behind its end use -type")
	}
	if w.lies {
		notes = append(notes, "its description speaks of more than there is: the header was damaged")
	}
	if w.full {
		notes = append(notes, fmt.Sprintf("it has too many fields: only the first %d are looked at", len(w.places)))
	}
	return w.places, notes
}
