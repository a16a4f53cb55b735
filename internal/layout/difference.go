package layout

import "strings"

// Difference compares two texts of Describe and names the first field in which
// the layouts differ, by its path in each (Shared.Users[0].Name: the elements of
// an array are all alike), as it is there; "" if the texts show none: one may
// have been cut, or come from somebody who wrote what he liked.
//
// Names of types and packages do not make a difference, as in Fingerprint, but
// for those of leaves: there a type is all there is to tell uint64 from int64.
func Difference(have, want string) string {
	a, b := fields(have), fields(want)
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return b[i].String() + " is missing there"
		case i >= len(b):
			return a[i].String() + " is only there"
		case a[i].key() != b[i].key():
			return a[i].String() + " there, " + b[i].String() + " here"
		}
	}
	return ""
}

// A field is one "NAME TYPE@OFFSET SIZE" of a description.
type field struct {
	root string // what the path begins with: the name of the type described
	path string // with the names of the structs that it is in
	rest string // TYPE@OFFSET SIZE
	leaf bool   // no fields of its own follow
}

func (f *field) String() string {
	if f.path == "" { // the type itself
		return f.rest
	}
	return strings.TrimSpace(f.root + "." + f.path + " " + f.rest)
}

// key is what counts of a field. Of a struct that is opened the name and the
// size do not: what is in it follows, and tells more.
func (f *field) key() string {
	typ, place, _ := strings.Cut(f.rest, "@")
	if !f.leaf {
		typ = typ[:strings.LastIndexByte(typ, ']')+1] // an array's length does
		place, _, _ = strings.Cut(place, " ")
	}
	if dot := strings.LastIndexByte(typ, '.'); dot >= 0 {
		typ = typ[:strings.LastIndexByte(typ[:dot], ']')+1] + typ[dot+1:]
	}
	return f.path + " " + typ + "@" + place
}

// fields takes a description apart. Any text will do: what is no description
// gives fields that nobody has.
func fields(text string) (list []field) {
	var outer []string // the first is the type itself
	name := ""
	add := func(word string, leaf bool) {
		word = strings.TrimSpace(word)
		n, rest, _ := strings.Cut(word, " ")
		if len(outer) > 0 {
			list = append(list, field{outer[0], strings.Join(append(outer[1:len(outer):len(outer)], n), "."), rest, leaf})
			name = n + firstElement(rest)
			return
		}
		name = rootOf(n)
		if leaf && word != "" {
			list = append(list, field{"", "", word, true})
		}
	}
	for text != "" {
		i := strings.IndexAny(text, "{};")
		if i < 0 {
			add(text, true)
			break
		}
		switch word := text[:i]; {
		case text[i] == '{':
			add(word, false)
			outer = append(outer, name)
		default:
			if strings.TrimSpace(word) != "" {
				add(word, true)
			}
			if text[i] == '}' && len(outer) > 0 {
				outer = outer[:len(outer)-1]
			}
		}
		text = text[i+1:]
	}
	return list
}

// rootOf is rootName, of the name that a description has for the type.
func rootOf(typ string) string {
	index := firstElement(typ)
	typ = typ[strings.LastIndexByte(typ, '.')+1:]
	if index != "" || typ == "struct" || typ == "" {
		typ = "T"
	}
	return typ + index
}

// firstElement is the index of the first element of what has this type: "[0]"
// for an array, "[0][0]" for an array of arrays, "" for what is none.
func firstElement(typ string) (index string) {
	for strings.HasPrefix(typ, "[") {
		_, typ, _ = strings.Cut(typ, "]")
		index += "[0]"
	}
	return index
}
