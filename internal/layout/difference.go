package layout

import "strings"

// Difference compares two texts of Describe and names the first field in which
// the layouts differ, by its path, as it is in each; "" if the texts show none:
// one may have been cut, or come from somebody who wrote what he liked.
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
	path string // with the names of the structs that it is in
	rest string // TYPE@OFFSET SIZE
	leaf bool   // no fields of its own follow
}

func (f *field) String() string { return strings.TrimSpace(f.path + " " + f.rest) }

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
	var outer []string
	name := ""
	add := func(word string, leaf bool) {
		word = strings.TrimSpace(word)
		n, rest, _ := strings.Cut(word, " ")
		name = n
		if len(outer) > 0 { // the first word is the type itself
			list = append(list, field{strings.Join(append(outer[1:len(outer):len(outer)], n), "."), rest, leaf})
		} else if leaf && word != "" {
			list = append(list, field{"", word, true})
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
